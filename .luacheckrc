-- What a quantizer file finds, for luacheck; written by `make manual`: do not edit
stds.bitloop = {
  read_globals = {
    "assert", "error", "ipairs", "pairs", "pcall", "select", "tonumber", "tostring", "type",
    math = {
      fields = {
        "abs", "acos", "asin", "atan", "ceil", "cos", "deg", "exp", "floor", "fmod", "huge", "log",
        "max", "maxinteger", "min", "mininteger", "modf", "pi", "rad", "sin", "sqrt", "tan",
        "tointeger", "type", "ult",
      },
    },
    string = {
      fields = {
        "byte", "char", "format", "len", "lower", "rep", "reverse", "sub", "upper",
      },
    },
    table = {
      fields = {
        "concat", "insert", "pack", "remove", "sort", "unpack",
      },
    },
    torch = {
      fields = {
        "abs", "acos", "acosh", "add", "addcdiv", "addcmul", "addmm", "all", "allclose", "amax",
        "amin", "aminmax", "any", "arange", "argmax", "argmin", "argsort", "asin", "asinh", "atan",
        "atan2", "atanh", "bincount", "bmm", "bool", "broadcast_to", "bucketize", "cat", "cdist",
        "ceil", "chunk", "clamp", "clamp_max", "clamp_min", "clone", "contiguous", "copysign",
        "cos", "cosh", "count_nonzero", "cummax", "cummin", "cumprod", "cumsum", "detach", "diag",
        "diagonal", "diff", "dim", "div", "dot", "dtype", "elu", "eq", "equal", "erf", "erfc",
        "erfinv", "exp", "exp2", "expand", "expand_as", "expm1", "eye", "flatten", "flip", "float",
        "floor", "floor_divide", "fmax", "fmin", "fmod", "frac", "frexp", "full", "full_like",
        "gather", "ge", "gelu", "gt", "hardshrink", "heaviside", "histc", "hypot", "index_add",
        "index_select", "int", "isclose", "isfinite", "isin", "isinf", "isnan", "item", "kthvalue",
        "ldexp", "le", "leaky_relu", "lerp", "linspace", "log", "log10", "log1p", "log2",
        "log_softmax", "logaddexp", "logcumsumexp", "logical_and", "logical_not", "logical_or",
        "logical_xor", "logit", "logsigmoid", "logsumexp", "lt", "masked_fill", "matmul", "max",
        "maximum", "mean", "median", "min", "minimum", "mm", "mode", "movedim", "mul", "mv",
        "nan_to_num", "nanmean", "nanmedian", "nanquantile", "nansum", "narrow", "ne", "neg",
        "norm", "numel", "one_hot", "ones", "ones_like", "outer", "pad", "permute", "pow", "prod",
        "quantile", "reciprocal", "relu", "remainder", "repeat_interleave", "requires_grad",
        "reshape", "roll", "round", "rsqrt", "scatter", "scatter_add", "searchsorted", "select",
        "sgn", "shape", "sigmoid", "sign", "signbit", "silu", "sin", "sinc", "sinh", "size",
        "softmax", "softplus", "softshrink", "sort", "split", "sqrt", "square", "squeeze", "stack",
        "std", "std_mean", "sub", "sum", "t", "take", "take_along_dim", "tan", "tanh", "tensor",
        "tile", "tolist", "topk", "trace", "transpose", "tril", "triu", "trunc", "type_as",
        "unbind", "unflatten", "unfold", "unsqueeze", "var", "var_mean", "view", "view_as", "where",
        "xlogy", "zeros", "zeros_like",
      },
    },
    bitloop = {
      fields = {
        "autograd", "blocks", "hadamard", "ste_round", "unblocks",
      },
    },
  },
}
std = "bitloop"
max_line_length = 128
ignore = {"212"}  -- unused arguments: a function is given ctx whether it needs it or not
exclude_files = {"lua/library", "build", ".deps"}
