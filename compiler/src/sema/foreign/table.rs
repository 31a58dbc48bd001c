//! The table of foreign names: what another library or language calls what we call otherwise.
//!
//! In: nothing; rows are data, each with an example that the test of `foreign.rs` mends. Out: rows by kind: names,
//! methods, parameters, types.

use super::conv;
use crate::diag::operand;

/// What stands here for a foreign name.
pub enum Ours {
    /// This name, with the same arguments; a call without any goes, as in `nn.ReLU()`.
    Name(&'static str),
    /// A call becomes this text: `$x` is what stands before a method's dot, `$1` the first argument, `$*` all of them.
    Call(&'static str),
    /// By the sizes of what stands before the dot, or of a first argument (none where they are not known), and the arguments.
    Axes(fn(&str, &[u64], &[&str]) -> Option<String>),
    /// Nothing takes its place: what to do.
    Words(&'static str),
    /// The language has it under some name, this compiler not yet: E0901.
    Later,
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
    row(&["std", "stddev", "reduce_std"], Ours::Call("sqrt(moments($1).1)"), "let z = torch.std(x)"),
    row(&["variance", "reduce_variance", "var"], Ours::Call("moments($1).1"), "let z = tf.reduce_variance(x)"),
    row(
        &["xavier_uniform", "xavier_uniform_", "glorot_uniform", "GlorotUniform", "xavier"],
        Ours::Name("glorot"),
        "let z: f32[3, 3] ~ xavier_uniform()",
    ),
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
    row(
        &[
            "LSTMCell",
            "GRUCell",
            "Bidirectional",
            "Transformer",
            "TransformerEncoder",
            "TransformerEncoderLayer",
            "MultiHeadAttention",
            "MultiHeadDotProductAttention",
            "scaled_dot_product_attention",
            "Dropout2d",
        ],
        Ours::Later,
        "let f = nn.LSTMCell(1, 8)",
    ),
    row(
        &["Conv1d"],
        Ours::Axes(|_, _, a| conv::torch("Conv1d", 1, a)),
        "let f = nn.Conv1d(1, 8, 3, padding: 1); let z = f(x[:, new])",
    ),
    row(
        &["Conv2d"],
        Ours::Axes(|_, _, a| conv::torch("Conv2d", 2, a)),
        "let f = nn.Conv2d(1, 8, 3, padding: 1); let z = f(x[new, new])",
    ),
    row(
        &["Conv3d"],
        Ours::Axes(|_, _, a| conv::torch("Conv3d", 3, a)),
        "let f = nn.Conv3d(1, 8, 3, padding: 1); let z = f(x[new, new, new])",
    ),
    row(
        &["ConvTranspose1d"],
        Ours::Axes(|_, _, a| conv::torch("ConvT1d", 1, a)),
        "let f = nn.ConvTranspose1d(1, 8, 3, stride: 2); let z = f(x[:, new])",
    ),
    row(
        &["ConvTranspose2d"],
        Ours::Axes(|_, _, a| conv::torch("ConvT2d", 2, a)),
        "let f = nn.ConvTranspose2d(1, 8, 3, stride: 2); let z = f(x[new, new])",
    ),
    row(
        &["ConvTranspose3d"],
        Ours::Axes(|_, _, a| conv::torch("ConvT3d", 3, a)),
        "let f = nn.ConvTranspose3d(1, 8, 3, stride: 2); let z = f(x[new, new, new])",
    ),
    row(
        &["Conv1D", "Convolution1D"],
        Ours::Axes(|_, _, a| conv::keras("Conv1d", 1, a)),
        "let f = layers.Conv1D(8, 3, padding: \"same\"); let z = f(x[:, new])",
    ),
    row(
        &["Conv2D", "Convolution2D"],
        Ours::Axes(|_, _, a| conv::keras("Conv2d", 2, a)),
        "let f = layers.Conv2D(8, 3, padding: \"same\"); let z = f(x[new, new])",
    ),
    row(
        &["Conv3D", "Convolution3D"],
        Ours::Axes(|_, _, a| conv::keras("Conv3d", 3, a)),
        "let f = layers.Conv3D(8, 3, padding: \"same\"); let z = f(x[new, new, new])",
    ),
    row(
        &["Conv1DTranspose"],
        Ours::Axes(|_, _, a| conv::keras("ConvT1d", 1, a)),
        "let f = layers.Conv1DTranspose(8, 3); let z = f(x[:, new])",
    ),
    row(
        &["Conv2DTranspose"],
        Ours::Axes(|_, _, a| conv::keras("ConvT2d", 2, a)),
        "let f = layers.Conv2DTranspose(8, 3); let z = f(x[new, new])",
    ),
    row(
        &["Conv3DTranspose"],
        Ours::Axes(|_, _, a| conv::keras("ConvT3d", 3, a)),
        "let f = layers.Conv3DTranspose(8, 3); let z = f(x[new, new, new])",
    ),
    row(
        &["conv1d"],
        Ours::Axes(|_, _, a| conv::function("conv1d", 1, a)),
        "let z = F.conv1d(x[:, new], ones[1, 1, 1], padding: 1)",
    ),
    row(
        &["conv2d"],
        Ours::Axes(|_, _, a| conv::function("conv2d", 2, a)),
        "let z = F.conv2d(x[new, new], ones[1, 1, 1, 1], padding: 1)",
    ),
    row(
        &["conv3d"],
        Ours::Axes(|_, _, a| conv::function("conv3d", 3, a)),
        "let z = F.conv3d(x[new, new, new], ones[1, 1, 1, 1, 1], padding: 1)",
    ),
    row(
        &["MaxPool1d", "MaxPooling1D"],
        Ours::Axes(|_, _, a| conv::pool("MaxPool", 1, a)),
        "let f = nn.MaxPool1d(2); let z = f(x[:, new])",
    ),
    row(
        &["MaxPool2d", "MaxPooling2D"],
        Ours::Axes(|_, _, a| conv::pool("MaxPool", 2, a)),
        "let f = nn.MaxPool2d(2); let z = f(x[new, new])",
    ),
    row(
        &["MaxPool3d", "MaxPooling3D"],
        Ours::Axes(|_, _, a| conv::pool("MaxPool", 3, a)),
        "let f = nn.MaxPool3d(1); let z = f(x[new, new, new])",
    ),
    row(
        &["AvgPool1d", "AveragePooling1D"],
        Ours::Axes(|_, _, a| conv::pool("AvgPool", 1, a)),
        "let f = nn.AvgPool1d(2); let z = f(x[:, new])",
    ),
    row(
        &["AvgPool2d", "AveragePooling2D"],
        Ours::Axes(|_, _, a| conv::pool("AvgPool", 2, a)),
        "let f = nn.AvgPool2d(2); let z = f(x[new, new])",
    ),
    row(
        &["AvgPool3d", "AveragePooling3D"],
        Ours::Axes(|_, _, a| conv::pool("AvgPool", 3, a)),
        "let f = nn.AvgPool3d(1); let z = f(x[new, new, new])",
    ),
    row(
        &["AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d"],
        Ours::Axes(|_, _, a| conv::adaptive("GlobalAvgPool", a)),
        "let f = nn.AdaptiveAvgPool1d(1); let z = f(x[new])",
    ),
    row(
        &["AdaptiveMaxPool1d", "AdaptiveMaxPool2d", "AdaptiveMaxPool3d"],
        Ours::Axes(|_, _, a| conv::adaptive("GlobalMaxPool", a)),
        "let f = nn.AdaptiveMaxPool1d(1); let z = f(x[new])",
    ),
    row(
        &["GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalAveragePooling3D"],
        Ours::Call("GlobalAvgPool"),
        "let f = layers.GlobalAveragePooling1D(); let z = f(x[new])",
    ),
    row(
        &["GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalMaxPooling3D"],
        Ours::Call("GlobalMaxPool"),
        "let f = layers.GlobalMaxPooling1D(); let z = f(x[new])",
    ),
    row(
        &["UpSampling1D", "UpSampling2D", "UpSampling3D"],
        Ours::Name("Upsample"),
        "let f = layers.UpSampling1D(2); let z = f(x[new])",
    ),
    row(
        &["ZeroPad2d", "ZeroPadding2D"],
        Ours::Axes(|_, _, a| conv::zeros(a)),
        "let f = nn.ZeroPad2d(1); let z = f(x[new, new])",
    ),
    row(
        &["max_pool1d", "max_pool2d", "max_pool3d", "max_pool"],
        Ours::Words("pooling is a layer: declare it, `pool = MaxPool(2)`, and call `pool(x)`"),
        "let z = F.max_pool1d(x[new], 2)",
    ),
    row(
        &["avg_pool1d", "avg_pool2d", "avg_pool3d", "avg_pool", "adaptive_avg_pool2d"],
        Ours::Words(
            "pooling is a layer: declare it, `pool = AvgPool(2)` or `pool = GlobalAvgPool`, and call `pool(x)`",
        ),
        "let z = F.avg_pool1d(x[new], 2)",
    ),
    row(
        &["interpolate", "resize"],
        Ours::Words("a layer makes images larger: declare it, `up = Upsample(2)`, and call `up(x)`"),
        "let z = F.interpolate(x[new], 2)",
    ),
    row(
        &["DepthwiseConv2D", "SeparableConv2D"],
        Ours::Words("a convolution of each channel by itself is `Conv2d[C, C](3, groups: C)`"),
        "let f = layers.DepthwiseConv2D(3)",
    ),
    row(
        &["GroupNorm", "GroupNormalization"],
        Ours::Axes(|_, _, a| conv::group_norm(a)),
        "let f = nn.GroupNorm(1, 3); let z = f(x)",
    ),
    row(
        &["InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"],
        Ours::Axes(|_, _, a| conv::norm("InstanceNorm", a)),
        "let f = nn.InstanceNorm1d(2, affine: True); let z = f(x[new])",
    ),
    row(
        &["BatchNorm1d", "BatchNorm2d", "BatchNorm3d"],
        Ours::Axes(|_, _, a| conv::norm("BatchNorm", a)),
        "let f = nn.BatchNorm1d(3); let z = f(x)",
    ),
    row(&["BatchNormalization"], Ours::Call("BatchNorm[_]"), "let f = layers.BatchNormalization(); let z = f(x)"),
    row(&["LayerNormalization"], Ours::Call("LayerNorm[_]"), "let f = layers.LayerNormalization(); let z = f(x)"),
    row(
        &["Dense"],
        Ours::Axes(|_, _, a| {
            let (size, rest) = a.split_first()?;
            let size = size.rsplit(':').next().unwrap_or(size).trim();
            Some(match rest.iter().find_map(|a| a.strip_prefix("activation:")) {
                Some(act) => format!("seq {{ Linear[_, {size}], {} }}", act.trim().trim_matches('"')),
                // Both sizes, as they stand here.
                None if rest.first().is_some_and(|r| r.parse::<u64>().is_ok()) => {
                    format!("Linear[{size}, {}]", rest[0])
                }
                None => format!("Linear[_, {size}]"),
            })
        }),
        "let f = keras.layers.Dense(4, activation: \"relu\"); let z = f(x)",
    ),
    row(
        &["Activation"],
        Ours::Axes(|_, _, a| a.first().map(|a| a.trim_matches('"').to_owned())),
        "let f = layers.Activation(\"relu\"); let z = f(x)",
    ),
    row(&["Lambda"], Ours::Call("$1"), "let f = layers.Lambda(|x| x * 2); let z = f(x)"),
    row(&["Sequential"], Ours::Axes(|_, _, a| layers(a)), "let f = nn.Sequential(Linear[3, 4], relu); let z = f(x)"),
    row(&["ModuleList"], Ours::Call("$1"), "let f = nn.ModuleList([Linear[3, 4]]); let z = f(x)"),
    row(
        &[
            "CrossEntropyLoss",
            "NLLLoss",
            "nll_loss",
            "softmax_cross_entropy",
            "SparseCategoricalCrossentropy",
            "sparse_categorical_crossentropy",
            "categorical_crossentropy",
            "crossentropy",
            "CategoricalCrossentropy",
        ],
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
    row(
        &["acc", "Accuracy", "sparse_categorical_accuracy", "categorical_accuracy", "SparseCategoricalAccuracy"],
        Ours::Name("accuracy"),
        "let z = acc(x, argmax(x))",
    ),
    row(&["KLDivLoss"], Ours::Name("kl_div"), "let f = nn.KLDivLoss(); let z = f(x, x)"),
    row(
        &[
            "BCEWithLogitsLoss",
            "binary_cross_entropy_with_logits",
            "BCELoss",
            "bce_loss",
            "bce",
            "bce_logits",
            "sigmoid_binary_cross_entropy",
            "BinaryCrossentropy",
            "binary_cross_entropy",
            "binary_crossentropy",
        ],
        Ours::Call("mean(bce_with_logits($*))"),
        "let z = nn.BCEWithLogitsLoss()(x, x)",
    ),
    row(&["RMSprop", "RMSProp"], Ours::Name("RmsProp"), "let z = descend(optim.RMSprop(lr: 0.1), x, [x])"),
    row(&["SGD"], Ours::Name("Sgd"), "let z = descend(optim.SGD(lr: 0.1), x, [x])"),
    row(
        &["StepLR"],
        Ours::Axes(|_, _, a| {
            Some(match a {
                [] => "step_decay".to_owned(),
                [lr] => format!("step_decay({lr}, every: 10)"),
                _ => format!("step_decay({})", a.join(", ")),
            })
        }),
        "let z = StepLR(0.1, 10)(1.0)",
    ),
    row(
        &["CosineAnnealingLR", "CosineDecay", "cosine_decay", "cosine_decay_schedule"],
        Ours::Name("cosine"),
        "let z = CosineAnnealingLR(0.1, total: 9)(1.0)",
    ),
    row(
        &["warmup_cosine", "cosine_with_warmup", "warmup_cosine_decay"],
        Ours::Axes(|_, _, a| {
            let value = |t: &str| t.rsplit(':').next().unwrap_or(t).trim().to_owned();
            match a {
                [lr, steps] => Some(format!("cosine({lr}, warmup: {})", value(steps))),
                [lr, steps, all] => Some(format!("cosine({lr}, warmup: {}, total: {})", value(steps), value(all))),
                _ => None,
            }
        }),
        "let z = warmup_cosine(0.1, 9, 90)(1.0)",
    ),
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
        &["dropout"],
        Ours::Words("dropout is a layer: declare it, `drop = Dropout(0.5)`, and call `drop(x)`"),
        "let z = dropout(x, 0.5)",
    ),
    row(
        &["Parameter", "Variable"],
        Ours::Words("a parameter is a member of a model: `param w: [In, Out] ~ normal()`"),
        "let z = nn.Parameter(x)",
    ),
    row(
        &["normalize", "Normalize", "StandardScaler", "standardize"],
        Ours::Words("begin the model with `BatchNorm[_]`, or scale by numbers that you know: `(x - 3.5) / 2.0`"),
        "let z = normalize(x)",
    ),
    row(
        &["einsum"],
        Ours::Words("write the sum: `let y[b, i, j] = a[b, i] * c[b, j]`, `let y[b, o] = sum[i](a[b, i] * w[i, o])`"),
        "let z = torch.einsum(x, x)",
    ),
    row(
        &["linear"],
        Ours::Words("write `x @ w + b`, or declare a layer, `fc = Linear[In, Out]`, and call `fc(x)`"),
        "let z = F.linear(x, x)",
    ),
    row(&["zeros_like"], Ours::Call("(0 * $1)"), "let z = torch.zeros_like(x)"),
    row(&["ones_like"], Ours::Call("(0 * $1 + 1)"), "let z = torch.ones_like(x)"),
    row(&["to_categorical"], Ours::Axes(|_, _, a| one_hot(a)), "let z = to_categorical(argmax(x), 3)"),
    row(
        &["range"],
        Ours::Axes(|_, _, a| match a {
            [n] => Some(format!("0..{n}")),
            [a, b] => Some(format!("{a}..{b}")),
            [a, b, step] => stepped(a.parse().ok()?, b.parse().ok()?, step.parse().ok()?),
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
    row(
        &["concatenate", "concat"],
        Ours::Axes(|_, _, a| join("cat", a, "0").or_else(|| operands("cat", a))),
        "let z = np.concatenate([x, x])",
    ),
    row(&["hstack"], Ours::Name("cat"), "let z = np.hstack([x, x])"),
    row(
        &["vstack"],
        Ours::Axes(|_, _, a| {
            let side_by_side = || Some(format!("{}, axis: 0)", operands("cat", a)?.strip_suffix(')')?));
            join("cat", a, "0").or_else(side_by_side)
        }),
        "let z = np.vstack([x, x])",
    ),
    row(&["clip"], Ours::Name("clamp"), "let z = np.clip(x, 0, 1)"),
    row(&["flip"], Ours::Name("rev"), "let z = np.flip(x)"),
    row(&["amax"], Ours::Call("max($1)"), "let z = np.amax(x)"),
    row(&["amin"], Ours::Call("min($1)"), "let z = np.amin(x)"),
    row(
        &["tensor", "array", "asarray", "as_tensor"],
        // Of numbers a list is a tensor where one is wanted; of tensors it is not.
        Ours::Axes(|_, _, a| {
            let first = a.first()?;
            let mut words = first.split(|c: char| !(c.is_alphanumeric() || c == '_'));
            let names = words.any(|w| w.starts_with(char::is_alphabetic) && !matches!(w, "true" | "false"));
            Some(if names && first.starts_with('[') { stacked(first) } else { (*first).to_owned() })
        }),
        "let z = torch.tensor([1.0, 2.0])",
    ),
    row(
        &["unsqueeze", "expand_dims"],
        Ours::Axes(|_, n, a| insert(a.first()?, n.len(), a.get(1)?)),
        "let z = torch.unsqueeze(x, 1)",
    ),
    row(
        &["squeeze", "Squeeze"],
        Ours::Axes(|_, n, a| drop(a.first().unwrap_or(&""), n, a.get(1).copied())),
        "let z = torch.squeeze(x[:, :, new], 2)",
    ),
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
    row(&["reduce_mean"], Ours::Call("mean($*)"), "let z = tf.reduce_mean(x)"),
    row(&["reduce_sum"], Ours::Call("sum($*)"), "let z = tf.reduce_sum(x, 1)"),
    row(&["reduce_max"], Ours::Axes(|_, _, a| reduced("max", a)), "let z = tf.reduce_max(x, 1)"),
    row(&["reduce_min"], Ours::Axes(|_, _, a| reduced("min", a)), "let z = tf.reduce_min(x)"),
    row(
        &["l2", "l2_loss", "l2_regularizer", "L2", "l2_penalty"],
        Ours::Words("weight decay is the optimizer's: `AdamW(lr: 1e-3, decay: 0.01)`"),
        "let z = l2(x)",
    ),
    row(&["isnan", "is_nan"], Ours::Axes(|_, _, a| compared(a, "$ != $")), "let z = torch.isnan(x)"),
    row(&["isfinite", "is_finite"], Ours::Axes(|_, _, a| compared(a, "abs($) < inf")), "let z = np.isfinite(x)"),
    row(&["isinf", "is_inf"], Ours::Axes(|_, _, a| compared(a, "abs($) == inf")), "let z = jnp.isinf(x)"),
    row(
        &["nan_to_num"],
        Ours::Axes(|_, _, a| match a {
            [x] => Some(format!("where({0} == {0}, {x}, 0)", operand(x))),
            _ => None,
        }),
        "let z = np.nan_to_num(x)",
    ),
    row(
        &["nan"],
        Ours::Words("NaN equals nothing: `x != x` holds where `x` is NaN, and nowhere else"),
        "let z = x == nan",
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

/// Functions of ours that other libraries call with other arguments; read where such a call fails.
pub const CALLS: &[Row] = &[
    row(&["zeros"], Ours::Axes(|_, _, a| filled("zeros", a)), "let z = torch.zeros(2, 3)"),
    row(&["ones"], Ours::Axes(|_, _, a| filled("ones", a)), "let z = np.ones((2, 3))"),
    row(
        &["randn"],
        Ours::Axes(|_, _, a| {
            let sizes = listed(a);
            (!sizes.is_empty()).then(|| format!("randn[{}](seed: 0)", sizes.join(", ")))
        }),
        "let z = torch.randn(2, 3)",
    ),
    row(&["one_hot"], Ours::Axes(|_, _, a| one_hot(a)), "let z = F.one_hot(argmax(x), num_classes: 3)"),
    row(&["softmax"], Ours::Axes(|_, n, a| last_axis("softmax", n.len(), a)), "let z = softmax(x, -1)"),
    row(
        &["log_softmax"],
        Ours::Axes(|_, n, a| last_axis("log_softmax", n.len(), a)),
        "let z = F.log_softmax(x, axis: 1)",
    ),
    row(&["reshape"], Ours::Axes(|_, _, a| reshape(a)), "let z = reshape(x, -1, 2)"),
    row(
        &["transpose"],
        Ours::Axes(|_, n, a| match a {
            [x] => Some(format!("{}.T", operand(x))),
            [x, rest @ ..] if rest.len() == 2 && !n.is_empty() => swap(x, n, rest),
            [x, rest @ ..] if rest.len() > 1 || rest[0].starts_with(['[', '(']) => order(x, rest),
            _ => None,
        }),
        "let z = transpose(x, 0, 1)",
    ),
    row(&["cat"], Ours::Axes(|_, _, a| join("cat", a, "0")), "let z = torch.cat([x, x], 1)"),
    row(&["stack"], Ours::Axes(|_, _, a| join("stack", a, "0")), "let z = torch.stack([x, x], 1)"),
    row(&["max"], Ours::Axes(|_, _, a| along("max", a)), "let z = x.max(1)"),
    row(&["min"], Ours::Axes(|_, _, a| along("min", a)), "let z = x.min(1)"),
    row(
        &["clamp"],
        Ours::Axes(|_, _, a| {
            let (x, bounds) = a.split_first()?;
            let named = |name: &str| bounds.iter().find_map(|b| b.strip_prefix(name)).map(str::trim);
            match (named("min:"), named("max:")) {
                (Some(lo), Some(hi)) => Some(format!("clamp({x}, {lo}, {hi})")),
                (Some(lo), None) => Some(format!("maximum({x}, {lo})")),
                (None, Some(hi)) => Some(format!("minimum({x}, {hi})")),
                (None, None) => None,
            }
        }),
        "let z = torch.clamp(x, min: 0)",
    ),
];

/// Methods and attributes of tensors, `x.name`.
pub const METHODS: &[Row] = &[
    row(&["std"], Ours::Call("sqrt(moments($x).1)"), "let z = x.std()"),
    row(&["var", "variance"], Ours::Call("moments($x).1"), "let z = x.var()"),
    row(&["view", "reshape"], Ours::Axes(|x, _, a| reshape(&[&[x], a].concat())), "let z = x.view(3, 2)"),
    row(&["permute"], Ours::Axes(|x, _, a| order(x, a)), "let z = x.permute(1, 0)"),
    row(&["transpose", "swapaxes"], Ours::Axes(swap), "let z = x.transpose(0, 1)"),
    row(&["t"], Ours::Axes(|x, _, _| Some(format!("{}.T", operand(x)))), "let z = x.t()"),
    row(&["unsqueeze", "expand_dims"], Ours::Axes(|x, n, a| insert(x, n.len(), a.first()?)), "let z = x.unsqueeze(-1)"),
    row(
        &["squeeze", "Squeeze"],
        Ours::Axes(|x, n, a| drop(x, n, a.first().copied())),
        "let z = x[:, :, new].squeeze(-1)",
    ),
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
            Some(format!("[{}]", (0..n.len()).map(|i| format!("size({x}, {i})")).collect::<Vec<_>>().join(", ")))
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
    row(
        &["astype", "type"],
        Ours::Axes(|x, _, a| {
            let name = a.first()?.rsplit('.').next()?.trim_matches('"');
            let ours = TYPES.iter().find(|(t, _)| *t == name).map_or(name, |(_, o)| *o);
            let ours = match ours {
                "float" => "f32",
                "int" => "i32",
                o => o,
            };
            Some(format!("({} as {ours})", operand(x)))
        }),
        "let z = x.astype(\"float32\")",
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
    ("decay_steps", "total"),
    ("T_max", "total"),
    ("steps", "total"),
    ("warmup_steps", "warmup"),
    ("rtol", "tol"),
    ("atol", "tol"),
    ("kernel_size", "k"),
    ("pool_size", "k"),
    ("strides", "stride"),
    ("padding", "pad"),
    ("output_padding", "out_pad"),
    ("dilation_rate", "dilation"),
    ("scale_factor", "factor"),
    ("num_groups", "groups"),
    ("track_running_stats", "track"),
    ("path", "file"),
    ("filename", "file"),
    ("weights", "weight"),
    ("random_state", "seed"),
    ("test_size", "fraction"),
    ("skiprows", "skip"),
    ("monitor", "on"),
];

/// Parameters of others that are one part of a tuple here: their name, ours, which part.
pub const PARTS: &[(&str, &str, usize)] =
    &[("beta1", "betas", 0), ("beta2", "betas", 1), ("b1", "betas", 0), ("b2", "betas", 1)];

/// Parameters of others that say nothing here.
pub const LOST: &[&str] = &[
    "inplace",
    "device",
    "dtype",
    "requires_grad",
    "batch_first",
    "in_place",
    "name",
    "input_shape",
    "align_corners",
    "input_dim",
    "copy",
    "affine",
    "track_running_stats",
];

/// Types: other names for ours.
pub const TYPES: &[(&str, &str)] = &[
    ("float64", "f64"),
    ("double", "f64"),
    ("float32", "f32"),
    ("float16", "f32"),
    ("half", "f32"),
    ("bfloat16", "f32"),
    ("int64", "i32"),
    ("long", "i32"),
    ("int32", "i32"),
    ("int16", "i16"),
    ("int8", "i8"),
    ("uint8", "u8"),
    ("byte", "u8"),
    ("boolean", "bool"),
    ("string", "str"),
    ("F32", "f32"),
    ("F64", "f64"),
    ("I32", "i32"),
    ("Float", "f32"),
    ("Float32", "f32"),
    ("Float64", "f64"),
    ("Double", "f64"),
    ("Int", "i32"),
    ("Int32", "i32"),
    ("Int64", "i32"),
    ("Long", "i32"),
    ("Bool", "bool"),
    ("Boolean", "bool"),
    ("String", "str"),
    ("tensor", "f32"),
    ("Tensor", "f32"),
    ("array", "f32"),
    ("Array", "f32"),
    ("ndarray", "f32"),
    ("FloatTensor", "f32"),
    ("LongTensor", "i32"),
];

/// `cat([a, b], axis: 1)`; `else_axis` is their axis where none is given.
fn join(name: &str, args: &[&str], else_axis: &str) -> Option<String> {
    let (parts, axis) = match args {
        [parts] => (parts, else_axis),
        [parts, axis] => (parts, axis.strip_prefix("axis:").unwrap_or(axis).trim()),
        _ => return None,
    };
    // A list may be joined as it stands, and one that is made by a rule only so.
    let parts = match parts.strip_prefix('(') {
        Some(inner) => inner.strip_suffix(')')?,
        None => parts.starts_with('[').then_some(*parts)?,
    };
    Some(format!("{name}({parts}, axis: {axis})"))
}

/// `(x != x)`: a comparison of the one operand, `$`.
fn compared(args: &[&str], with: &str) -> Option<String> {
    match args {
        [x] if with.starts_with('$') => Some(format!("({})", with.replace('$', &operand(x)))),
        [x] => Some(format!("({})", with.replace('$', x))),
        _ => None,
    }
}

/// `cat(a, b)` of operands that stand side by side.
fn operands(name: &str, args: &[&str]) -> Option<String> {
    let plain = args.len() > 1 && args.iter().all(|a| !a.contains(':') && a.parse::<f64>().is_err());
    plain.then(|| format!("{name}({})", args.join(", ")))
}

/// `stack(a, b)` of the parts of a list or tuple; of another value, which may be a list made by a rule, `stack(list)`.
pub fn stacked(list: &str) -> String {
    let inner = list.strip_prefix(['[', '(']).and_then(|l| l.strip_suffix([']', ')']));
    match inner.filter(|i| !i.contains(" for ") && !i.is_empty()) {
        Some(parts) => format!("stack({parts})"),
        None => format!("stack({list})"),
    }
}

/// `max(x, axis: 1)`
fn along(name: &str, args: &[&str]) -> Option<String> {
    match args {
        [x, axis] if axis.parse::<i64>().is_ok() => Some(format!("{name}({x}, axis: {axis})")),
        _ => None,
    }
}

/// `[2 + 3 * k for k in 0..4]`
fn stepped(from: i64, to: i64, step: i64) -> Option<String> {
    let n = (to.checked_sub(from)?).checked_add(step)?.checked_sub(1)?.checked_div(step).filter(|_| step > 0)?.max(0);
    let start = if from == 0 { String::new() } else { format!("{from} + ") };
    Some(format!("[{start}{step} * k for k in 0..{n}]"))
}

/// `max(x, axis: 1)` or `max(x)`
fn reduced(name: &str, args: &[&str]) -> Option<String> {
    match args {
        [x] => Some(format!("{name}({x})")),
        [x, axis] => Some(format!("{name}({x}, axis: {})", axis.strip_prefix("axis:").unwrap_or(axis).trim())),
        _ => None,
    }
}

/// `softmax(x)`, if the axis is the last.
fn last_axis(name: &str, rank: usize, args: &[&str]) -> Option<String> {
    let [x, at] = args else { return None };
    let at = at.rsplit(':').next().unwrap_or(at).trim();
    (at == "-1" || rank > 0 && axis(rank, at) == Some(rank - 1)).then(|| format!("{name}({x})"))
}

/// `one_hot[3](y)`
fn one_hot(args: &[&str]) -> Option<String> {
    let [y, n] = args else { return None };
    let n = n.rsplit(':').next().unwrap_or(n).trim();
    Some(format!("one_hot[{n}]({y})"))
}

/// `zeros[2, 3]`
fn filled(name: &str, args: &[&str]) -> Option<String> {
    let sizes = listed(args);
    (!sizes.is_empty()).then(|| format!("{name}[{}]", sizes.join(", ")))
}

/// `seq { a, b }` of layers that may stand in a list.
fn layers(args: &[&str]) -> Option<String> {
    let inner = match args {
        [one] if one.starts_with('[') => one[1..one.len() - 1].trim().trim_end_matches(',').to_owned(),
        _ => args.join(", "),
    };
    (!inner.is_empty()).then(|| format!("seq {{ {inner} }}"))
}

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
pub fn listed<'a>(args: &[&'a str]) -> Vec<&'a str> {
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

fn swap(x: &str, sizes: &[u64], args: &[&str]) -> Option<String> {
    let [a, b] = args else { return None };
    let rank = sizes.len();
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

/// `x[:, 0]`: the axis that is named, else those of size 1; of what has no sizes yet the last. Without an operand it is a
/// function.
fn drop(x: &str, sizes: &[u64], at: Option<&str>) -> Option<String> {
    let at = at.map(|a| a.strip_prefix("axis:").unwrap_or(a).trim());
    if x.is_empty() || x.parse::<i64>().is_ok() {
        return Some("|x| x[.., 0]".to_owned());
    }
    let x = operand(x);
    let mut ix = vec![":"; sizes.len()];
    match at {
        _ if sizes.is_empty() => return Some(format!("{x}[.., 0]")),
        Some(at) => *ix.get_mut(axis(sizes.len(), at)?)? = "0",
        None => ix.iter_mut().zip(sizes).filter(|(_, n)| **n == 1).for_each(|(i, _)| *i = "0"),
    }
    ix.contains(&"0").then(|| format!("{x}[{}]", ix.join(", ")))
}
