//! The table of foreign names: what another library or language calls what we call otherwise.
//!
//! In: nothing; rows are data, each with an example that the test of `foreign.rs` mends. Out: rows by kind: names,
//! methods, parameters, types.

use crate::diag::operand;

/// What stands here for a foreign name.
pub enum Ours {
    /// This name, with the same arguments; a call without any goes, as in `nn.ReLU()`.
    Name(&'static str),
    /// A call becomes this text: `$x` is what stands before a method's dot, `$1` the first argument, `$*` all of them.
    Call(&'static str),
    /// By the number of axes of what stands before the dot, and the arguments.
    Axes(fn(&str, usize, &[&str]) -> Option<String>),
    /// Nothing takes its place: what to do.
    Words(&'static str),
}

/// A foreign name, or several that mean the same.
pub struct Row {
    /// The names, without their module.
    pub names: &'static [&'static str],
    /// What is written here.
    pub ours: Ours,
    /// Statements of a test with `x: f32[2, 3]` and `w: f32[3, 2]` that use the first name.
    pub example: &'static str,
}

const fn row(names: &'static [&'static str], ours: Ours, example: &'static str) -> Row {
    Row { names, ours, example }
}

/// Functions, layers, losses, optimizers and words.
pub const NAMES: &[Row] = &[
    row(&["ReLU", "relu_"], Ours::Name("relu"), "let f = nn.ReLU(); let z = f(x)"),
    row(&["GELU"], Ours::Name("gelu"), "let f = nn.GELU(); let z = f(x)"),
    row(&["SiLU", "Swish", "swish"], Ours::Name("silu"), "let f = nn.SiLU(); let z = f(x)"),
    row(&["ELU"], Ours::Name("elu"), "let z = F.ELU(x)"),
    row(&["Tanh"], Ours::Name("tanh"), "let f = nn.Tanh(); let z = f(x)"),
    row(&["Sigmoid", "expit"], Ours::Name("sigmoid"), "let f = nn.Sigmoid(); let z = f(x)"),
    row(&["Softplus"], Ours::Name("softplus"), "let f = nn.Softplus(); let z = f(x)"),
    row(&["LeakyReLU", "LeakyRelu"], Ours::Call("|x| leaky_relu(x, $*)"), "let f = nn.LeakyReLU(0.1); let z = f(x)"),
    row(&["Softmax"], Ours::Call("softmax"), "let f = nn.Softmax(axis: -1); let z = f(x)"),
    row(&["LogSoftmax"], Ours::Call("log_softmax"), "let f = nn.LogSoftmax(axis: -1); let z = f(x)"),
    row(&["Identity"], Ours::Name("identity"), "let f = nn.Identity(); let z = f(x)"),
    row(&["Dense"], Ours::Call("Linear[_, $1]"), "let f = keras.layers.Dense(4); let z = f(x)"),
    row(&["Sequential"], Ours::Call("seq { $* }"), "let f = nn.Sequential(Linear[3, 4], relu); let z = f(x)"),
    row(&["ModuleList"], Ours::Call("$1"), "let f = nn.ModuleList([Linear[3, 4]]); let z = f(x)"),
    row(
        &["CrossEntropyLoss", "NLLLoss", "nll_loss", "softmax_cross_entropy", "SparseCategoricalCrossentropy"],
        Ours::Name("cross_entropy"),
        "let f = nn.CrossEntropyLoss(); let z = f(x, argmax(x))",
    ),
    row(
        &["MSELoss", "mse_loss", "mean_squared_error", "MeanSquaredError"],
        Ours::Name("mse"),
        "let f = nn.MSELoss(); let z = f(x, x)",
    ),
    row(&["L1Loss", "l1_loss", "mean_absolute_error"], Ours::Name("mae"), "let f = nn.L1Loss(); let z = f(x, x)"),
    row(
        &["HuberLoss", "SmoothL1Loss", "smooth_l1_loss", "huber_loss"],
        Ours::Name("huber"),
        "let f = nn.HuberLoss(); let z = f(x, x)",
    ),
    row(&["KLDivLoss"], Ours::Name("kl_div"), "let f = nn.KLDivLoss(); let z = f(x, x)"),
    row(
        &[
            "BCEWithLogitsLoss",
            "binary_cross_entropy_with_logits",
            "BCELoss",
            "BinaryCrossentropy",
            "binary_cross_entropy",
        ],
        Ours::Call("mean(bce_with_logits($*))"),
        "let z = nn.BCEWithLogitsLoss()(x, x)",
    ),
    row(&["RMSprop", "RMSProp"], Ours::Name("RmsProp"), "let z = descend(optim.RMSprop(lr: 0.1), x, [x])"),
    row(&["SGD"], Ours::Name("Sgd"), "let z = descend(optim.SGD(lr: 0.1), x, [x])"),
    row(&["StepLR"], Ours::Name("step_decay"), "let z = StepLR(0.1, 10)(1.0)"),
    row(&["CosineAnnealingLR", "CosineDecay"], Ours::Name("cosine"), "let z = CosineAnnealingLR(0.1, total: 9)(1.0)"),
    row(&["OneCycleLR"], Ours::Name("one_cycle"), "let z = OneCycleLR(0.1, total: 9)(1.0)"),
    row(&["ExponentialLR"], Ours::Name("exponential"), "let z = ExponentialLR(0.1, 0.9)(1.0)"),
    row(&["True"], Ours::Name("true"), "let z = sum(x, 0, keep: True)"),
    row(&["False"], Ours::Name("false"), "let z = sum(x, 0, keep: False)"),
    row(
        &["None", "nil", "null"],
        Ours::Words("there is no empty value: leave the argument out"),
        "let z = sum(x, None)",
    ),
    row(
        &["range"],
        Ours::Axes(|_, _, a| match a {
            [n] => Some(format!("0..{n}")),
            [a, b] => Some(format!("{a}..{b}")),
            _ => None,
        }),
        "for i in range(3) { assert i < 3 }",
    ),
    row(&["len"], Ours::Call("size($1, 0)"), "let z = len(x)"),
    row(
        &["print"],
        Ours::Words("nothing is printed while a program runs; `metrics = { name: value }` shows numbers"),
        "print(x)",
    ),
    row(
        &["matmul", "mm", "bmm", "dot"],
        Ours::Axes(|_, _, a| match a {
            [a, b] => Some(format!("({} @ {})", operand(a), operand(b))),
            _ => None,
        }),
        "let z = torch.matmul(x, w)",
    ),
    row(&["add"], Ours::Axes(|_, _, a| infix("+", a)), "let z = torch.add(x, x)"),
    row(&["sub", "subtract"], Ours::Axes(|_, _, a| infix("-", a)), "let z = torch.sub(x, x)"),
    row(&["mul", "multiply"], Ours::Axes(|_, _, a| infix("*", a)), "let z = torch.mul(x, x)"),
    row(&["div", "divide", "true_divide"], Ours::Axes(|_, _, a| infix("/", a)), "let z = torch.div(x, x)"),
    row(
        &["square"],
        Ours::Axes(|_, _, a| match a {
            [a] => Some(format!("({}**2)", operand(a))),
            _ => None,
        }),
        "let z = np.square(x)",
    ),
    row(&["power", "pow_"], Ours::Name("pow"), "let z = np.power(x, 2)"),
    row(&["concatenate", "concat", "hstack"], Ours::Name("cat"), "let z = np.concatenate([x, x])"),
    row(&["clip"], Ours::Name("clamp"), "let z = np.clip(x, 0, 1)"),
    row(&["flip"], Ours::Name("rev"), "let z = np.flip(x)"),
    row(&["amax"], Ours::Call("max($1)"), "let z = np.amax(x)"),
    row(&["amin"], Ours::Call("min($1)"), "let z = np.amin(x)"),
    row(&["tensor", "array", "asarray", "as_tensor"], Ours::Call("$1"), "let z = torch.tensor([1.0, 2.0])"),
    row(
        &["unsqueeze", "expand_dims"],
        Ours::Axes(|_, n, a| insert(a.first()?, n, a.get(1)?)),
        "let z = torch.unsqueeze(x, 1)",
    ),
    row(&["squeeze"], Ours::Axes(|_, n, a| drop(a.first()?, n, a.get(1)?)), "let z = torch.squeeze(x[:, :, new], 2)"),
    row(&["permute"], Ours::Axes(|_, _, a| order(a.first()?, &a[1..])), "let z = torch.permute(x, 1, 0)"),
    row(
        &["int"],
        Ours::Axes(|_, _, a| match a {
            [a] => Some(format!("({} as i32)", operand(a))),
            _ => None,
        }),
        "let z = int(x)",
    ),
    row(
        &["float"],
        Ours::Axes(|_, _, a| match a {
            [a] => Some(format!("({} as f32)", operand(a))),
            _ => None,
        }),
        "let z = float(argmax(x))",
    ),
    row(&["no_grad", "detach", "stop_gradient"], Ours::Name("stop"), "let z = jax.lax.stop_gradient(x)"),
    row(&["self"], Ours::Words("members of a model are named without `self`"), "let z = self"),
    row(
        &["enumerate", "zip"],
        Ours::Words("loop over indices: `for i in 0..n { .. a[i] .. }`"),
        "let z = enumerate(x)",
    ),
    row(
        &["DataLoader"],
        Ours::Words("data is a `data` item; `batch` is a setting of `train`"),
        "let z = DataLoader(x)",
    ),
];

/// Methods and attributes of tensors, `x.name`.
pub const METHODS: &[Row] = &[
    row(&["view", "reshape"], Ours::Axes(|x, _, a| reshape(&[&[x], a].concat())), "let z = x.view(3, 2)"),
    row(&["permute"], Ours::Axes(|x, _, a| order(x, a)), "let z = x.permute(1, 0)"),
    row(&["transpose", "swapaxes"], Ours::Axes(swap), "let z = x.transpose(0, 1)"),
    row(&["t"], Ours::Axes(|x, _, _| Some(format!("{}.T", operand(x)))), "let z = x.t()"),
    row(&["unsqueeze", "expand_dims"], Ours::Axes(|x, n, a| insert(x, n, a.first()?)), "let z = x.unsqueeze(-1)"),
    row(&["squeeze"], Ours::Axes(|x, n, a| drop(x, n, a.first()?)), "let z = x[:, :, new].squeeze(-1)"),
    row(
        &["size"],
        Ours::Axes(|x, _, a| {
            Some(match a {
                [i] => format!("size({x}, {i})"),
                _ => return None,
            })
        }),
        "let z = x.size(0)",
    ),
    row(
        &["shape"],
        Ours::Axes(|x, n, _| {
            Some(format!("[{}]", (0..n).map(|i| format!("size({x}, {i})")).collect::<Vec<_>>().join(", ")))
        }),
        "let z = x.shape",
    ),
    row(&["ndim", "dim"], Ours::Call("rank($x)"), "let z = x.ndim"),
    row(&["numel"], Ours::Call("size($x)"), "let z = x.numel()"),
    row(
        &["matmul", "mm", "bmm", "dot"],
        Ours::Axes(|x, _, a| match a {
            [b] => Some(format!("({} @ {})", operand(x), operand(b))),
            _ => None,
        }),
        "let z = x.matmul(w)",
    ),
    row(&["float"], Ours::Axes(|x, _, _| Some(format!("({} as f32)", operand(x)))), "let z = argmax(x).float()"),
    row(&["double"], Ours::Axes(|x, _, _| Some(format!("({} as f64)", operand(x)))), "let z = x.double()"),
    row(&["long", "int"], Ours::Axes(|x, _, _| Some(format!("({} as i32)", operand(x)))), "let z = x.long()"),
    row(&["bool"], Ours::Axes(|x, _, _| Some(format!("({} != 0)", operand(x)))), "let z = x.bool()"),
    row(&["detach"], Ours::Call("stop($x)"), "let z = x.detach()"),
    row(
        &["item", "clone", "contiguous", "to", "cuda", "cpu", "numpy", "requires_grad_", "copy"],
        Ours::Call("$x"),
        "let z = x.to(0)",
    ),
    row(&["flip"], Ours::Call("rev($x, $*)"), "let z = x.flip(0)"),
    row(&["clip"], Ours::Call("clamp($x, $*)"), "let z = x.clip(0, 1)"),
    row(
        &["pow"],
        Ours::Axes(|x, _, a| match a {
            [p] => Some(format!("({}**{})", operand(x), operand(p))),
            _ => None,
        }),
        "let z = x.pow(2)",
    ),
    row(&["square"], Ours::Axes(|x, _, _| Some(format!("({}**2)", operand(x)))), "let z = x.square()"),
    row(&["add", "add_"], Ours::Axes(|x, _, a| infix("+", &[&[x], a].concat())), "let z = x.add(x)"),
    row(&["sub"], Ours::Axes(|x, _, a| infix("-", &[&[x], a].concat())), "let z = x.sub(x)"),
    row(&["mul"], Ours::Axes(|x, _, a| infix("*", &[&[x], a].concat())), "let z = x.mul(x)"),
    row(&["div"], Ours::Axes(|x, _, a| infix("/", &[&[x], a].concat())), "let z = x.div(x)"),
    row(&["backward"], Ours::Words("gradients are taken by `train`, or by `grad(loss, x)`"), "let z = x.backward()"),
    row(
        &["device", "dtype", "grad"],
        Ours::Words("a tensor has no such attribute at run time; see `nnc check --types`"),
        "let z = x.device",
    ),
];

/// Parameters: other names for ours, whatever has them.
pub const PARAMETERS: &[(&str, &str)] = &[
    ("axes", "axis"),
    ("dims", "axis"),
    ("keepdim", "keep"),
    ("keepdims", "keep"),
    ("bias", "use_bias"),
    ("weight_decay", "decay"),
    ("learning_rate", "lr"),
    ("label_smoothing", "smooth"),
    ("smoothing", "smooth"),
    ("negative_slope", "slope"),
    ("rate", "p"),
    ("epsilon", "eps"),
    ("rho", "alpha"),
    ("step_size", "every"),
    ("max_lr", "peak"),
    ("total_steps", "total"),
    ("warmup_steps", "warmup"),
    ("rtol", "tol"),
    ("atol", "tol"),
    ("path", "file"),
    ("filename", "file"),
    ("weights", "weight"),
    ("random_state", "seed"),
    ("test_size", "fraction"),
    ("skiprows", "skip"),
    ("monitor", "on"),
];

/// Types: other names for ours.
pub const TYPES: &[(&str, &str)] = &[
    ("float64", "f64"),
    ("double", "f64"),
    ("float32", "f32"),
    ("float16", "f16"),
    ("half", "f16"),
    ("bfloat16", "bf16"),
    ("int64", "i64"),
    ("long", "i64"),
    ("int32", "i32"),
    ("int16", "i16"),
    ("int8", "i8"),
    ("uint8", "u8"),
    ("byte", "u8"),
    ("boolean", "bool"),
    ("string", "str"),
];

fn infix(op: &str, args: &[&str]) -> Option<String> {
    match args {
        [a, b] => Some(format!("({} {op} {})", operand(a), operand(b))),
        _ => None,
    }
}

/// `reshape(x, [2, _])`; -1 is `_` here, and the sizes may come in a list.
fn reshape(args: &[&str]) -> Option<String> {
    let (x, sizes) = args.split_first()?;
    let sizes: Vec<&str> = listed(sizes).into_iter().map(|s| if s == "-1" { "_" } else { s }).collect();
    (!sizes.is_empty()).then(|| format!("reshape({x}, [{}])", sizes.join(", ")))
}

fn order(x: &str, axes: &[&str]) -> Option<String> {
    let axes = listed(axes);
    (!axes.is_empty()).then(|| format!("transpose({x}, [{}])", axes.join(", ")))
}

/// The entries of `2, 3`, `[2, 3]` or `(2, 3)`.
fn listed<'a>(args: &[&'a str]) -> Vec<&'a str> {
    match args {
        [one] if one.starts_with(['[', '(']) => one[1..one.len() - 1].split(',').map(str::trim).collect(),
        _ => args.to_vec(),
    }
}

/// An axis written as a number, counted from the front.
fn axis(rank: usize, text: &str) -> Option<usize> {
    let i: i64 = text.parse().ok()?;
    usize::try_from(if i < 0 { i + rank as i64 } else { i }).ok().filter(|i| *i < rank)
}

fn swap(x: &str, rank: usize, args: &[&str]) -> Option<String> {
    let [a, b] = args else { return None };
    let mut axes: Vec<usize> = (0..rank).collect();
    axes.swap(axis(rank, a)?, axis(rank, b)?);
    let axes: Vec<String> = axes.iter().map(usize::to_string).collect();
    Some(format!("transpose({x}, [{}])", axes.join(", ")))
}

/// `x[:, new]`
fn insert(x: &str, rank: usize, at: &str) -> Option<String> {
    let at = axis(rank + 1, at)?;
    let mut ix = vec![":"; rank];
    ix.insert(at, "new");
    Some(format!("{}[{}]", operand(x), ix.join(", ")))
}

/// `x[:, 0]`
fn drop(x: &str, rank: usize, at: &str) -> Option<String> {
    let mut ix = vec![":"; rank];
    *ix.get_mut(axis(rank, at)?)? = "0";
    Some(format!("{}[{}]", operand(x), ix.join(", ")))
}
