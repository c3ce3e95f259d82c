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
        "abs", "add", "addcdiv", "addcmul", "all", "allclose", "amax", "amin", "any", "arange",
        "argmax", "argmin", "argsort", "atan", "bmm", "bool", "broadcast_to", "cat", "ceil",
        "chunk", "clamp", "clamp_max", "clamp_min", "clone", "contiguous", "cos", "cosh",
        "count_nonzero", "cumprod", "cumsum", "detach", "diag", "dim", "div", "dot", "dtype", "eq",
        "equal", "erf", "erfinv", "exp", "exp2", "expand", "expand_as", "expm1", "eye", "flatten",
        "flip", "float", "floor", "floor_divide", "fmod", "frac", "full", "full_like", "gather",
        "ge", "gelu", "gt", "index_select", "int", "isfinite", "isinf", "isnan", "item", "kthvalue",
        "le", "lerp", "linspace", "log", "log10", "log1p", "log2", "log_softmax", "logical_and",
        "logical_not", "logical_or", "logical_xor", "logsumexp", "lt", "matmul", "max", "maximum",
        "mean", "median", "min", "minimum", "mm", "mul", "mv", "nan_to_num", "narrow", "ne", "neg",
        "norm", "numel", "one_hot", "ones", "ones_like", "outer", "pad", "permute", "pow", "prod",
        "quantile", "reciprocal", "relu", "remainder", "repeat_interleave", "requires_grad",
        "reshape", "roll", "round", "rsqrt", "searchsorted", "select", "sgn", "shape", "sigmoid",
        "sign", "silu", "sin", "sinh", "size", "softmax", "softplus", "sort", "split", "sqrt",
        "square", "squeeze", "stack", "std", "sub", "sum", "t", "take_along_dim", "tan", "tanh",
        "tensor", "tile", "tolist", "topk", "transpose", "tril", "triu", "trunc", "type_as",
        "unflatten", "unfold", "unsqueeze", "var", "view", "view_as", "where", "zeros",
        "zeros_like",
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
