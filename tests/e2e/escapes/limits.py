"""Groups C (time that nothing may swallow) and D (memory)."""

from escapes.attempt import Attempt
from escapes.system import NO_METATABLES, error


def timeout(name, code, **more):
    return Attempt(name, code, "timeout", harm=more.pop("harm", "cpu"), **more)


def memory(name, code, **more):
    return Attempt(name, code, "out_of_memory", **more)


LOOP = "while true do end"
C = [
    timeout("C a loop", LOOP),
    timeout("C a loop in weight_quant", LOOP, place="weight"),
    timeout("C a loop in activation_quant", LOOP, place="activation"),
    timeout("C a loop in init", "function Q.init(layer) while true do end end", stock=LOOP),
    timeout("C pcall swallows the limit", f"while true do pcall(function() {LOOP} end) end", hook=True),
    timeout("C pcall swallows the limit in weight_quant", f"while true do pcall(function() {LOOP} end) end", place="weight",
            hook=True),
    timeout("C pcall nested 150 deep", f"local function f(n) if n == 0 then {LOOP} end pcall(f, n - 1) {LOOP} end "
            "while true do pcall(f, 150) end", hook=True),
    timeout("C pcall of pcall", "while true do pcall(pcall, pcall, error) end", hook=True,
            stock="while true do pcall(function() while true do pcall(pcall, pcall, error) end end) end"),
    timeout("C recursion through pcall", "local function f() pcall(f) end while true do f() end", hook=True,
            stock="local function f() pcall(f) end while true do pcall(f) end"),
    error("C xpcall's handler", f"xpcall(function() {LOOP} end, function() {LOOP} end)", "use pcall", harm="cpu", hook=True),
    error("C a finaliser at the end", f"x = setmetatable({{}}, {{__gc = function() {LOOP} end}})", NO_METATABLES, harm="cpu"),
    error("C a variable's __close", f"local x <close> = setmetatable({{}}, {{__close = function() {LOOP} end}}) error('x')",
          NO_METATABLES, harm="cpu"),
    error("C a coroutine an iteration", f"while true do coroutine.resume(coroutine.create(function() {LOOP} end)) end",
          "there are no coroutines here", harm="cpu", hook=True),
    error("C coroutines in coroutines", "local function f(n) coroutine.wrap(function() f(n + 1) end)() end f(1)",
          "there are no coroutines here", note="an error in stock Lua 5.4 too; LuaJIT harnesses died of it"),
    error("C a pattern that backtracks", 'local s = ("a"):rep(50000) s:gsub(".-b", "")', "method 'gsub'", harm="cpu", hook=True,
          stock='local s = ("a"):rep(500000) s:gsub(".-b", "")'),
    error("C string.find that backtracks", 'local s = ("a"):rep(40) s:find(("a-"):rep(20) .. "b")', "method 'find'", harm="cpu", hook=True),
    error("C table.move", "table.move({}, 1, 1 << 40, 2)", "", harm="cpu", hook=True),
    error("C debug.sethook clears the limit", f"debug.sethook() {LOOP}", "there is no debug library here", harm="cpu",
          hook=True),
    error("C an error whose text never ends", f"error(setmetatable({{}}, {{__tostring = function() {LOOP} end}}))",
          NO_METATABLES, harm="cpu"),
    timeout("C a comparator that never ends", f"table.sort({{1, 2, 3}}, function() {LOOP} end)"),
    timeout("C sorting without end", "local t = {} for i = 1, 1e5 do t[i] = i end while true do table.sort(t, function() "
            "return true end) end", stock="local t = {} for i = 1, 1e3 do t[i] = i end while true do pcall(function() "
            "while true do pcall(table.sort, t, function() return true end) end end) end", hook=True),
    timeout("C concatenation without end", "local t = {} for i = 1, 1e4 do t[i] = 'x' end while true do table.concat(t) end"),
    timeout("C inserting at the front", "local t = {} while true do table.insert(t, 1, 1) end"),
    timeout("C products without end", "local x = torch.ones(1000, 1000) while true do pcall(x.matmul, x, x) end",
            stock="while true do pcall(function() local s = 0 for i = 1, 1e9 do s = s + i * i end end) end", hook=True),
    timeout("C a backward without end", "local f = bitloop.autograd{forward = function(x) while true do end end, backward = "
            "function() end} f(1)", stock=LOOP),
]

HOARD = "local t = {} for i = 1, 1e9 do t[i] = {} end"
D = [
    memory("D string.rep", 'local s = string.rep("x", 1 << 40)', harm="memory", stock='local s = string.rep("x", 1 << 28)'),
    memory("D string.rep under pcall", 'pcall(string.rep, "x", 1 << 40)', harm="memory",
           stock='local _, s = pcall(string.rep, "x", 1 << 28)'),
    memory("D a string that doubles", 'local s = "x" while true do s = s .. s end', line=0, harm="memory"),
    memory("D a string that doubles under pcall", 'while true do pcall(function() local s = "x" while true do s = s .. s end '
           "end) end", harm="memory"),
    memory("D a table of tables", HOARD, line=0, harm="memory"),
    memory("D a table of tables in weight_quant", HOARD, place="weight", line=0, harm="memory"),
    error("D recursion", "local function f() return 1 + f() end f()", "stack overflow",
          legal="local function f(n) return n == 0 and 0 or 1 + f(n - 1) end f(1000)"),
    memory("D a huge tensor", "local x = torch.zeros(1 << 20, 1 << 20)", legal="local x = torch.zeros(1 << 10, 1 << 10)"),
    memory("D a huge tensor under pcall", "pcall(torch.zeros, 1 << 20, 1 << 20)", legal="pcall(torch.zeros, 1 << 10, 1 << 10)"),
    memory("D more elements than an integer holds", "local x = torch.zeros(1 << 40, 1 << 40)",
           legal="local x = torch.zeros(1 << 4, 1 << 4)"),
    memory("D tensors that are kept", "local t = {} for i = 1, 1000 do t[i] = torch.zeros(1 << 20) end",
           legal="local t = {} for i = 1, 100 do t[i] = torch.zeros(1 << 20) end"),
    memory("D a huge tensor in weight_quant", "w:tile(1 << 30, 1 << 30)", place="weight", legal="w:tile(2, 2)"),
    memory("D a view made real", "local x = torch.ones(1):expand(1 << 30):contiguous()",
           legal="local x = torch.ones(1):expand(1 << 20):contiguous()"),
    Attempt("D tensors that are dropped", "for i = 1, 2000 do local t = torch.zeros(1024, 1024) end", "ok",
            note="8 GB in all, 4 MB at a time: the memory of this one is looked at in a test of its own"),
    error("D a message of a million characters", 'error(("x"):rep(1e6))', "xxx", harm="output"),
    error("D a flood of output", 'for i = 1, 1e5 do print("a line of output") end', "there is no output here", harm="output"),
    error("D a negative size", "torch.zeros(-1)", "", legal="torch.zeros(1)"),
    error("D a size that is not a number", "torch.zeros(0 / 0)", "", legal="torch.zeros(8 // 2)"),
    error("D an infinite size", "torch.zeros(1 / 0)", "", legal="torch.zeros(8 // 1)"),
    error("D a broken size", "torch.zeros(1.5)", "", legal="torch.zeros(2.0)"),
    error("D a size of the wrong type", "torch.zeros({1, {}})", "", legal="torch.zeros({1, 2})"),
    error("D the least integer as a dimension", "torch.ones(2):size(math.mininteger)", "", legal="torch.ones(2):size(-1)"),
]
