"""Groups E (types and metatables of the binding) and G (cheating the metric)."""

from escapes.attempt import REGION, Attempt
from escapes.system import NO_METATABLES, error


def rejected(name, code, rule, words, **more):
    return Attempt(name, code, "rejected", words, rule=rule, place=more.pop("place", "weight_end"), **more)


def returns(name, code, words, **more):
    """A wrong return of weight_quant; the template itself is the near-copy that passes."""
    return error(name, code, words, place="weight_end", note="the template returns codes, scale and passes", line=0, **more)


ADDRESS = "says 0x"
E = [
    error("E a method of a table", "w.abs({})", "x must be a Tensor, got a table", place="weight", legal="w.abs(w)"),
    error("E a method of nothing", "w.abs()", "x must be a Tensor, got nothing", place="weight", legal="w.abs(w)"),
    error("E a function of a function", "torch.abs(pcall)", "x must be a Tensor", legal="torch.abs(torch.ones(1))"),
    error("E a number and a table", "local y = w + {}", "", place="weight", legal="local y = w + 1"),
    error("E methods replaced", "getmetatable(w).__index.abs = function() return 1 end", NO_METATABLES, place="weight",
          stock='getmetatable("").__index.upper = function() return "patched" end error(("x"):upper())', harm="says patched"),
    error("E torch replaced", "torch.abs = function() return 1 end", "read-only",
          stock='string.upper = function() return "patched" end error(("x"):upper())', harm="says patched"),
    error("E math replaced", "math.abs = function() return 'patched' end error(math.abs(1))", "read-only", harm="says patched"),
    error("E pcall replaced in a call", "pcall = nil", "read-only", place="weight",
          stock="local function f() pcall = nil end f() error(tostring(pcall))", harm="says nil"),
    error("E freed twice", "local g = getmetatable(w).__gc g(w) g(w)", NO_METATABLES, place="weight",
          stock="local f = io.tmpfile() local g = getmetatable(f).__gc g(f) g(f) error('freed twice')", harm="says freed twice"),
    error("E address of a table", "error(tostring({}))", "table", harm=ADDRESS),
    error("E address of a function", "error(tostring(pcall))", "function", harm=ADDRESS),
    error("E address by %p", 'error(string.format("%p", {}))', "there is no conversion", harm=ADDRESS),
    error("E address by %s", 'error(("%s"):format({}))', "table", harm=ADDRESS),
    error("E address of a method", "error(tostring(w.abs))", "function", place="weight", stock="error(tostring((('').len)))", harm=ADDRESS),
    error("E address as a number", "error('at ' .. tonumber(tostring({}):sub(8)))", "", harm="says at "),
    returns("E nothing returned", "do return end", "weight_quant"),
    returns("E nil returned", "do return nil end", "weight_quant"),
    returns("E a string returned", "do return 'codes', scale end", "weight_quant"),
    returns("E codes alone", "do return codes end", "weight_quant"),
    returns("E three values", "do return codes, scale, w end", "weight_quant"),
    returns("E a function for a scale", "do return codes, pcall end", "weight_quant"),
    returns("E codes of another shape", "codes = codes:flatten()", "codes have shape", rule="levels"),
    returns("E a value of its own", "do return {codes = codes, scale = scale, value = w} end", "value"),
    returns("E a surrogate of another shape", "do return {codes = codes, scale = scale, surrogate = w:sum()} end",
            "surrogate has shape", rule="levels"),
    rejected("E a scale that is not a number", "scale = scale * (0 / 0)", "levels", "finite", legal="scale = scale * (2 / 2)"),
    rejected("E an infinite scale", "scale = scale / 0", "levels", "finite", legal="scale = scale / 2"),
    rejected("E a scale above float16", "scale = scale * 0 + 1e9", "levels", "finite", legal="scale = scale * 0 + 60000"),
    rejected("E codes that are not numbers", "codes = codes * (0 / 0)", "levels", "", legal="codes = codes * (2 / 2)"),
    rejected("E infinite codes", "codes = codes / 0", "levels", "", legal="codes = codes / 1"),
    Attempt("E a scale of -0.0", "scale = -(scale * 0)", "ok", place="weight_end", note="finite, so allowed; all weights are 0"),
    Attempt("E a denormal scale", "scale = scale * 0 + 1e-40", "ok", place="weight_end", note="0 once rounded to float16"),
    Attempt("E 10,000 exceptions under pcall", "local x = torch.ones(2, 3) for i = 1, 10000 do assert(not pcall(x.matmul, x, x))"
            " end", "ok", note="its memory is looked at with that of the tensors that are dropped"),
]


def whole(levels="levels = {-1, 0, 1}", weight="", activation="", more=""):
    """REGION with another number format, or functions of its own."""
    text = REGION.replace("levels = {-1, 0, 1}", levels).replace("@weight_end@", weight or "@weight_end@")
    text = text.replace("@activation_end@", activation or "@activation_end@").replace("@load@", more or "@load@")
    return "\n".join(line for line in text.splitlines() if not line.strip().startswith("@"))


def runs_of(count):
    return whole(f"levels = {{-1, 0, 1}}, group = {count}", activation=f"local runs = bitloop.blocks(x, {count}) "
                 "scale = runs:abs():amax{dim = -1}:clamp{min = 1e-5} codes = x:sign()")


HONEST_16_BITS = whole("bits = 16", "scale = w:abs():amax() / 32767 codes = (w / scale):round()")
G = [
    rejected("G weights as codes", "codes, scale = w, 1", "levels", "level", legal="codes, scale = w:sign(), 1"),
    rejected("G weights as the scale, codes 1", "codes, scale = torch.ones_like(w), w", "levels", "scale has shape",
             legal="codes, scale = torch.ones_like(w), w:mean()"),
    rejected("G weights as the offset", "do return {codes = codes, scale = scale, offset = w} end", "levels",
             "offset has shape", legal="do return {codes = codes, scale = scale, offset = w:mean()} end"),
    rejected("G weights in the codes' low bits", "codes = codes + w * 1e-3", "levels", "level", legal="codes = codes + w * 1e-7"),
    error("G scales a column", "scale = w:abs():amax{dim = 0, keepdim = true}", "scale has shape", rule="levels",
          place="weight_end", legal="scale = w:abs():amax{dim = 1, keepdim = true}"),
    rejected("G a scale in every run of two activations", runs_of(2), "causality", "too fine", place="region", legal=runs_of(16)),
    rejected("G a variable that remembers", whole(more="local kept = 0", weight="kept = kept + 1"), "purity",
             "changes a variable", place="region", stock="local kept local function f(w) kept = w end f(5) error('kept ' .. kept)", harm="says kept 5"),
    error("G a global that remembers", "W = w", "read-only", place="weight",
          stock="local function f(w) W = w end f(5) error('kept ' .. W)", harm="says kept 5"),
    error("G a table that remembers", whole(more="local cache = {}", weight="cache[1] = w"), "read-only", place="region", line=6,
          stock="local cache = {} local function f(w) cache[1] = w end f(5) error('kept ' .. cache[1])", harm="says kept 5"),
    error("G ctx that remembers", "ctx.kept = w", "read-only", place="weight", legal="local kept = ctx.step"),
    error("G ctx.total_steps raised", "ctx.total_steps = 100000", "read-only", place="weight", legal="local n = ctx.total_steps"),
    rejected("G one scale for all rows", "scale = x:abs():amax():clamp{min = 1e-5} / 127 codes = (x / scale):round()",
             "causality", "look-ahead", place="activation_end",
             legal="scale = x:abs():amax{dim = 1, keepdim = true}:clamp{min = 1e-5} / 127 codes = (x / scale):round()"),
    rejected("G a scale along the rows", "scale = x:abs():amax{dim = 0, keepdim = true}:clamp{min = 1e-5} / 127 "
             "codes = (x / scale):round()", "causality", "look-ahead", place="activation_end",
             legal="scale = x:abs():amax{dim = -1, keepdim = true}:clamp{min = 1e-5} / 100 codes = (x / scale):round()"),
    rejected("G rows in reverse", "codes = codes:flip(0)", "causality", "look-ahead", place="activation_end",
             legal="codes = codes:flip(1)"),
    rejected("G a running sum from the end", "codes = codes:flip(0):cumsum(0):flip(0):clamp{min = -128, max = 127}",
             "causality", "look-ahead", place="activation_end",
             legal="codes = codes:flip(1):cumsum(1):flip(1):clamp{min = -128, max = 127}"),
    rejected("G the next row", "codes = codes:roll(-1, 0)", "causality", "look-ahead", place="activation_end",
             legal="codes = codes:roll(-1, 1)"),
    rejected("G other rows of the batch only", "codes = codes:roll(128, 0)", "causality", "look-ahead",
             place="activation_end", legal="codes = codes:roll(0, 0)"),
    rejected("G look-ahead in the last layer only", "if ctx.layer.index == ctx.layer.count - 1 then codes = codes:roll(-1, 0) end",
             "causality", "look-ahead", place="activation_end",
             legal="if ctx.layer.index == ctx.layer.count then codes = codes:roll(-1, 0) end"),
    rejected("G look-ahead in the score only", "if not ctx.training and ctx.step == ctx.total_steps then "
             "codes = codes:roll(-1, 0) end", "causality", "look-ahead", place="activation_end", legal="if not ctx.training and "
             "ctx.step == ctx.total_steps then codes = codes:roll(-1, 1) end"),
    rejected("G activations of half a code", "codes = codes + 0.5", "causality", "", place="activation_end",
             legal="codes = (codes + 0.5):floor():clamp{min = -128, max = 127}"),
    rejected("G activations that are not numbers", "codes = codes * (0 / 0)", "causality", "", place="activation_end",
             legal="codes = codes * (2 / 2)"),
    rejected("G an activation scale above float16", "scale = scale * 0 + 1e9", "causality", "finite", place="activation_end",
             legal="scale = scale * 0 + 0.1"),
    error("G random numbers of math", "error('got ' .. math.random())", "", harm="says got "),
    error("G random numbers of torch", "local r = torch.rand(3)", "no randomness", note="stock Lua has no torch"),
    error("G the clock", "error('at ' .. os.clock())", "there is no operating system here", harm="says at "),
    error("G the time", "error('at ' .. os.time())", "there is no operating system here", harm="says at "),
    error("G memory as a clock", "error('used ' .. collectgarbage('count'))", "", harm="says used "),
    error("G a result in an error", """error('{"type":"result","status":"ok","metrics":{"val_loss":0.1}}')""", "val_loss",
          harm='says "val_loss":0.1'),
    error("G a result on standard output", """print('{"type":"result","status":"ok","metrics":{"val_loss":0.1}}')""",
          "there is no output here", harm='says "val_loss":0.1'),
    error("G a result on descriptor 4", """io.open("/dev/fd/1", "w"):write('{"val_loss":0.1}')""", "there are no files here",
          harm='says "val_loss":0.1'),
    rejected("G more steps", "{steps = 100000}", "loads", "may not be set", place="config", legal="{learning_rate = 0.003}"),
    rejected("G more tokens", "{batch = 512}", "loads", "may not be set", place="config", legal="{warmup_iters = 10}"),
    rejected("G another seed", "{seed = 7}", "loads", "may not be set", place="config", legal="{weight_decay = 0}"),
    rejected("G a rate out of bounds", "{learning_rate = 5}", "loads", "out of bounds", place="config",
             legal="{learning_rate = 0.1}"),
    error("G a rate that is not a number", "{learning_rate = 0 / 0}", "finite", place="config", line=0,
          legal="{learning_rate = 2 / 1000}"),
]
