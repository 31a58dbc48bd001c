//! Layers of images as other libraries call them, with their arguments in other orders and under other names.
//!
//! In: the texts of a call's arguments. Out: the call that means the same here; nothing where it has an argument that has no
//! counterpart. Kernels, strides and paddings of several numbers become our `k`, `kw`, ..; "same" becomes the padding that
//! keeps sizes. It stands beside the table, whose rows these are.

use super::table::{PARAMETERS, listed};
use std::collections::BTreeMap;

/// Our names of what has a number for each axis, by the number of axes.
const AXES: [&[&str]; 3] = [&[""], &["", "_w"], &["", "_h", "_w"]];

/// Arguments by our names.
type Given<'a> = BTreeMap<&'a str, &'a str>;

/// The arguments by name: those without one stand in `order`. Other libraries' names become ours.
fn given<'a>(args: &[&'a str], order: &[&'static str]) -> Option<Given<'a>> {
    let mut out = Given::new();
    for (i, a) in args.iter().enumerate() {
        let named = a.split_once(':').map(|(n, v)| (n.trim(), v.trim()));
        let (name, value) = match named.filter(|(n, _)| n.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')) {
            Some((name, value)) if !order.contains(&name) => {
                let ours = PARAMETERS.iter().find(|(theirs, ours)| *theirs == name && order.contains(ours));
                (ours.map_or(name, |(_, ours)| ours), value)
            }
            Some(named) => named,
            None => (*order.get(i)?, *a),
        };
        out.insert(name, value);
    }
    // What is said by leaving it out.
    for (name, usual) in [
        ("padding_mode", "zeros"),
        ("ceil_mode", "false"),
        ("return_indices", "false"),
        ("count_include_pad", "true"),
        ("data_format", "channels_first"),
    ] {
        if out.get(name).is_some_and(|v| v.trim_matches(['"', '\'']).eq_ignore_ascii_case(usual)) {
            out.remove(name);
        }
    }
    Some(out)
}

/// One number for each of `n` axes.
fn per_axis(text: &str, n: usize) -> Option<Vec<&str>> {
    let all = listed(&[text]);
    match all.len() {
        1 => Some(vec![all[0]; n]),
        k if k == n => Some(all),
        _ => None,
    }
}

/// `k: 3, kw: 5`: the arguments for what has a number for each axis, one where they are equal.
fn spread(name: &str, values: &[String], out: &mut Vec<String>) -> Option<()> {
    let last = |suffix: &str| match name {
        "k" => format!("k{}", suffix.trim_start_matches('_')),
        _ => format!("{name}{suffix}"),
    };
    let equal = values.iter().all(|v| *v == values[0]);
    if !equal && name == "dilation" && values.len() == 3 {
        return None;
    }
    match name {
        "k" => out.push(values[0].clone()),
        _ => out.push(format!("{name}: {}", values[0])),
    }
    if !equal {
        let more = AXES[values.len() - 1].iter().zip(values).skip(1);
        out.extend(more.map(|(suffix, v)| format!("{}: {v}", last(suffix))));
    }
    Some(())
}

/// The padding that keeps sizes: half of the window, where that is whole.
fn padding<'a>(given: &Given<'a>, n: usize) -> Option<Vec<String>> {
    let text = given.get("pad").copied().unwrap_or("0");
    match &*text.trim_matches(['"', '\'']).to_ascii_lowercase() {
        "valid" => Some(vec!["0".to_owned(); n]),
        "same" => {
            let dilation = given.get("dilation").map_or(Some(vec!["1"; n]), |d| per_axis(d, n))?;
            let k = per_axis(given.get("k")?, n)?;
            let half = k.iter().zip(dilation).map(|(k, d)| {
                let reach = (k.parse::<u64>().ok()?.checked_sub(1)?).checked_mul(d.parse().ok()?)?;
                (reach % 2 == 0).then(|| (reach / 2).to_string())
            });
            half.collect()
        }
        _ => Some(per_axis(text, n)?.into_iter().map(str::to_owned).collect()),
    }
}

/// What a window has, in the order of our hyperparameters.
const WINDOW: &[&str] = &["k", "stride", "pad", "out_pad", "dilation"];

/// A layer's window as our arguments: `3`, `stride: 2`, `pad: 1`. What is as usual is left out; a pool's stride is as wide
/// as its window where none is given.
fn window(given: &Given<'_>, n: usize, pool: bool) -> Option<Vec<String>> {
    let mut out = vec![];
    for name in WINDOW {
        let values: Vec<String> = match (*name, given.get(name)) {
            ("k", None) => return None,
            ("stride", None) if pool => match per_axis(given.get("k")?, n)? {
                k if k.iter().all(|v| *v == k[0]) => continue,
                k => k.into_iter().map(str::to_owned).collect(),
            },
            (_, None) => continue,
            ("pad", Some(_)) => padding(given, n)?,
            (_, Some(text)) => per_axis(text, n)?.into_iter().map(str::to_owned).collect(),
        };
        let usual = match *name {
            "pad" | "out_pad" => "0",
            "stride" if !pool => "1",
            "dilation" => "1",
            _ => "",
        };
        if values.iter().any(|v| v != usual) {
            spread(name, &values, &mut out)?;
        }
    }
    Some(out)
}

/// Nothing but a window's arguments and these.
fn only(given: &Given<'_>, more: &[&str]) -> bool {
    given.keys().all(|k| WINDOW.contains(k) || more.contains(k))
}

/// `Conv2d[1, 8](3, pad: 1)`
fn convolution(layer: &str, n: usize, given: &Given<'_>, sizes: [&str; 2]) -> Option<String> {
    let mut all = window(given, n, false)?;
    for (name, usual) in [("groups", "1"), ("use_bias", "true")] {
        if let Some(v) = given.get(name).filter(|v| !v.eq_ignore_ascii_case(usual)) {
            all.push(format!("{name}: {}", if *v == "False" { "false" } else { v }));
        }
    }
    Some(format!("{layer}[{}, {}]({})", sizes[0], sizes[1], all.join(", ")))
}

/// The hyperparameters of a layer of ours that slides windows, where some are given as elsewhere, `((3, 5), padding: "same")`.
pub fn hyper(layer: &str, args: &[&str]) -> Option<String> {
    const ORDER: &[&str] = &["k", "stride", "pad", "dilation", "groups", "use_bias"];
    let pool = matches!(layer, "MaxPool" | "AvgPool");
    let given = given(args, ORDER)?;
    // A pool takes images where nothing says otherwise.
    let axes = || given.values().map(|v| listed(&[v]).len()).max().filter(|n| *n > 1).unwrap_or(2);
    let n = match layer.strip_prefix("ConvT").or(layer.strip_prefix("Conv")) {
        Some(n) => n.strip_suffix('d')?.parse().ok().filter(|n| (1..=3).contains(n))?,
        None if pool => axes(),
        None => return None,
    };
    let mut all = only(&given, ORDER).then(|| window(&given, n, pool))??;
    all.extend(["groups", "use_bias"].iter().filter_map(|name| Some(format!("{name}: {}", given.get(name)?))));
    Some(all.join(", "))
}

/// A convolution of PyTorch's, which has both sizes; `layer` is ours, over `n` axes.
pub fn torch(layer: &str, n: usize, args: &[&str]) -> Option<String> {
    const ORDER: &[&str] = &["in_channels", "out_channels", "k", "stride", "pad", "dilation", "groups", "use_bias"];
    const TRANSPOSED: &[&str] =
        &["in_channels", "out_channels", "k", "stride", "pad", "out_pad", "groups", "use_bias", "dilation"];
    let given = given(args, if layer.starts_with("ConvT") { TRANSPOSED } else { ORDER })?;
    let sizes = [*given.get("in_channels")?, *given.get("out_channels")?];
    only(&given, ORDER).then(|| convolution(layer, n, &given, sizes))?
}

/// A convolution of Keras's, which has the size of its result and may have an activation.
pub fn keras(layer: &str, n: usize, args: &[&str]) -> Option<String> {
    const ORDER: &[&str] = &["filters", "k", "stride", "pad", "groups", "use_bias", "activation"];
    let given = given(args, ORDER)?;
    let text = only(&given, ORDER).then(|| convolution(layer, n, &given, ["_", given.get("filters")?]))??;
    Some(match given.get("activation") {
        Some(act) => format!("seq {{ {text}, {} }}", act.trim_matches(['"', '\''])),
        None => text,
    })
}

/// A pooling layer; Keras's is 2 wide where nothing is said.
pub fn pool(layer: &str, n: usize, args: &[&str]) -> Option<String> {
    let mut given = given(args, if layer == "AvgPool" { &WINDOW[..3] } else { &["k", "stride", "pad", "dilation"] })?;
    given.entry("k").or_insert("2");
    only(&given, &[]).then(|| window(&given, n, true).map(|all| format!("{layer}({})", all.join(", "))))?
}

/// A pool to a size that is given: 1 is all of an image.
pub fn adaptive(layer: &str, args: &[&str]) -> Option<String> {
    let [one] = args else { return None };
    let size = one.split_once(':').map_or(*one, |(_, v)| v.trim());
    listed(&[size]).iter().all(|n| *n == "1").then(|| layer.to_owned())
}

/// A norm of PyTorch's: the size first, the rest by name.
pub fn norm(layer: &str, args: &[&str]) -> Option<String> {
    let given = given(args, &["num_features", "eps", "momentum", "affine", "track"])?;
    let more: Vec<String> =
        given.iter().filter(|(n, _)| **n != "num_features").map(|(n, v)| format!("{n}: {v}")).collect();
    let size = given.get("num_features")?;
    Some(if more.is_empty() { format!("{layer}[{size}]") } else { format!("{layer}[{size}]({})", more.join(", ")) })
}

/// `GroupNorm[32](8)`: PyTorch has the groups first, Keras the groups alone.
pub fn group_norm(args: &[&str]) -> Option<String> {
    let given = given(args, &["groups", "num_channels", "eps"])?;
    let eps = given.get("eps").map_or(String::new(), |e| format!(", eps: {e}"));
    let groups = given.get("groups")?;
    given
        .keys()
        .all(|k| ["groups", "num_channels", "eps"].contains(k))
        .then(|| format!("GroupNorm[{}]({groups}{eps})", given.get("num_channels").unwrap_or(&"_")))
}

/// `conv2d(x, w, stride: 2)`, and its bias added.
pub fn function(name: &str, n: usize, args: &[&str]) -> Option<String> {
    let order = ["input", "weight", "bias", "stride", "pad", "dilation", "groups"];
    let given = given(args, &order)?;
    let (x, w) = (given.get("input")?, given.get("weight")?);
    let mut all = vec![(*x).to_owned(), (*w).to_owned()];
    for key in ["stride", "pad", "dilation"] {
        if let Some(text) = given.get(key) {
            let values: Vec<String> = per_axis(text, n)?.into_iter().map(str::to_owned).collect();
            spread(key, &values, &mut all)?;
        }
    }
    all.extend(given.get("groups").map(|g| format!("groups: {g}")));
    let text = format!("{name}({})", all.join(", "));
    let known = given.keys().all(|k| order.contains(k));
    known.then(|| match given.get("bias").filter(|b| **b != "None") {
        Some(b) => format!("add_bias({text}, {b})"),
        None => text,
    })
}

/// `|x| pad(x, (1, 1), (1, 1))`: one number, or those of the last axis first.
pub fn zeros(args: &[&str]) -> Option<String> {
    let [around] = args else { return None };
    Some(match listed(&[around])[..] {
        [n] => format!("|x| pad(x, ({n}, {n}), ({n}, {n}))"),
        [l, r, t, b] => format!("|x| pad(x, ({t}, {b}), ({l}, {r}))"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_become_ours() {
        let conv = |n: usize, a: &[&str]| torch(&format!("Conv{n}d"), n, a);
        for (got, want) in [
            (conv(2, &["1", "8", "3"]), "Conv2d[1, 8](3)"),
            (conv(2, &["1", "8", "kernel_size: 3", "padding: 1"]), "Conv2d[1, 8](3, pad: 1)"),
            (
                conv(2, &["C", "2 * C", "(3, 5)", "(2, 2)", "(1, 2)"]),
                "Conv2d[C, 2 * C](3, kw: 5, stride: 2, pad: 1, pad_w: 2)",
            ),
            (conv(2, &["4", "8", "5", "padding: \"same\"", "dilation: 2"]), "Conv2d[4, 8](5, pad: 4, dilation: 2)"),
            (
                conv(1, &["4", "8", "3", "1", "1", "1", "2", "False"]),
                "Conv1d[4, 8](3, pad: 1, groups: 2, use_bias: false)",
            ),
            (
                conv(3, &["4", "8", "(1, 3, 3)", "stride: (1, 2, 2)"]),
                "Conv3d[4, 8](1, kh: 3, kw: 3, stride: 1, stride_h: 2, stride_w: 2)",
            ),
            (torch("ConvT2d", 2, &["8", "4", "4", "2", "1", "1"]), "ConvT2d[8, 4](4, stride: 2, pad: 1, out_pad: 1)"),
            (keras("Conv2d", 2, &["32", "(3, 3)", "activation: \"relu\""]), "seq { Conv2d[_, 32](3), relu }"),
            (
                keras("Conv1d", 1, &["filters: 8", "kernel_size: 3", "strides: 2", "padding: \"valid\""]),
                "Conv1d[_, 8](3, stride: 2)",
            ),
            (pool("MaxPool", 2, &["2"]), "MaxPool(2)"),
            (pool("MaxPool", 2, &[]), "MaxPool(2)"),
            (pool("MaxPool", 2, &["kernel_size: 3", "stride: 2", "padding: 1"]), "MaxPool(3, stride: 2, pad: 1)"),
            (pool("AvgPool", 2, &["(2, 3)"]), "AvgPool(2, kw: 3, stride: 2, stride_w: 3)"),
            (pool("MaxPool", 1, &["3", "1"]), "MaxPool(3, stride: 1)"),
            (adaptive("GlobalAvgPool", &["(1, 1)"]), "GlobalAvgPool"),
            (norm("InstanceNorm", &["8", "affine: true"]), "InstanceNorm[8](affine: true)"),
            (group_norm(&["4", "32"]), "GroupNorm[32](4)"),
            (function("conv2d", 2, &["x", "w", "b", "padding: 1"]), "add_bias(conv2d(x, w, pad: 1), b)"),
            (hyper("Conv2d", &["(3, 5)", "padding: \"same\"", "groups: 2"]), "3, kw: 5, pad: 1, pad_w: 2, groups: 2"),
            (hyper("MaxPool", &["(2, 2)"]), "2"),
            (hyper("ConvT3d", &["2", "strides: (1, 2, 2)"]), "2, stride: 1, stride_h: 2, stride_w: 2"),
            (zeros(&["(1, 2, 3, 4)"]), "|x| pad(x, (3, 4), (1, 2))"),
        ] {
            assert_eq!(got.as_deref(), Some(want));
        }
        let none = [
            conv(2, &["1", "8", "4", "padding: \"same\""]),
            conv(2, &["1", "8", "3", "padding_mode: \"reflect\""]),
            conv(2, &["1", "8"]),
            conv(2, &["1", "8", "(3, 3, 3)"]),
            pool("MaxPool", 2, &["2", "ceil_mode: true"]),
            adaptive("GlobalAvgPool", &["7"]),
        ];
        assert_eq!(none, [const { None }; 6]);
    }
}
