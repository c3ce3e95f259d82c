"""Groups A (reaching the operating system) and B (code loading)."""

from escapes.attempt import Attempt

NO_CODE = "code can't be loaded here"
NO_FILES = "there are no files here"
NO_SYSTEM = "there is no operating system here"
NO_DEBUG = "there is no debug library here"
NO_METATABLES = "there are no metatables here"


def error(name, code, words, **more):
    return Attempt(name, code, "script_error", words, **more)


A = [
    error("A os.execute", 'os.execute("touch @PWN@")', NO_SYSTEM, harm="file"),
    error("A os.execute in weight_quant", 'os.execute("touch @PWN@")', NO_SYSTEM, place="weight", harm="file"),
    error("A os.execute in activation_quant", 'os.execute("touch @PWN@")', NO_SYSTEM, place="activation", harm="file"),
    error("A io.open reads", 'error(io.open("@DATA@", "rb"):read("a"))', NO_FILES, harm="says the-secret"),
    error("A io.open writes", 'io.open("@PWN@", "w"):write("x")', NO_FILES, harm="file"),
    error("A io.lines", 'for line in io.lines("@DATA@") do error(line) end', NO_FILES, harm="says the-secret"),
    error("A io.popen", 'error(io.popen("cat @DATA@"):read("a"))', NO_FILES, harm="says the-secret"),
    error("A os.getenv", 'error(os.getenv("PATH"))', NO_SYSTEM, harm="says /bin"),
    error("A os.remove", 'error(tostring(os.remove("@DATA@.none")))', NO_SYSTEM, harm="says nil"),
    error("A os.exit", "os.exit(7)", NO_SYSTEM, harm="exit 7"),
    error("A package.loadlib", 'error(tostring(package.loadlib("libc.so.6", "*")))', "", harm="says true"),
    error("A require", 'error(require("io").open("@DATA@"):read("a"))', "a quantizer is one file", harm="says the-secret"),
    error("A require of ffi", 'require("ffi").C.system("id")', "a quantizer is one file",
          note="only LuaJIT has ffi, which is why it is not used"),
    error("A dofile", 'dofile("@CODE@")', NO_CODE, harm="file"),
    error("A loadfile", 'loadfile("@CODE@")()', NO_CODE, harm="file"),
    error("A load", "load(\"io.open('@PWN@', 'w'):close()\")()", NO_CODE, harm="file"),
    error("A debug.getregistry", 'debug.getregistry()._LOADED.io.open("@PWN@", "w")', NO_DEBUG, harm="file"),
    error("A debug.setupvalue", 'local kept = 1 local function get() return kept end debug.setupvalue(get, 1, 2) '
          'error("got " .. get())', NO_DEBUG, harm="says got 2"),
    error("A debug.getinfo", 'error(type(debug.getinfo(1, "f").func))', NO_DEBUG, harm="says function"),
    error("A _G", 'error(type(_G.os.execute))', "use local names", harm="says function"),
    error("A _ENV", 'error(type(_ENV.os.execute))', "", harm="says function"),
    error("A strings' metatable", 'getmetatable("").__index.rep = nil error(("x"):rep(2))', NO_METATABLES,
          harm="says attempt to call a nil value (method 'rep')"),
    error("A setmetatable on the environment", 'setmetatable(_ENV, {__index = function() return 7 end}) error("got " .. x)',
          NO_METATABLES, harm="says got 7"),
    error("A a name that hides a path", 'error(require("../../../../etc/passwd"))', "a quantizer is one file",
          note="stock require looks along package.path only"),
]


def locals_of(count):
    return " ".join(f"local a{i} = 1" for i in range(count))


def upvalues_of(count):
    first = " ".join(f"local a{i} = 1" for i in range(count))
    second = " ".join(f"local b{i} = 1" for i in range(count))
    total = "+".join(f"a{i}+b{i}" for i in range(count))
    return f"do {first} local function f() {second} return function() return {total} end end end"


B = [
    error("B string.dump and load", "local chunk = string.dump(function() io.open('@PWN@', 'w'):close() end) "
          "load(chunk, 'x', 'b')()", "", harm="file"),
    error("B a dumped chunk that was patched", r'load((string.dump(function() return 1 end)):gsub("\x01", "\xff"), "x", "b")'
          ' error("loaded " .. "it")', "", harm="says loaded it"),
    error("B 20,000 nested parentheses", "local x = " + "(" * 20_000, "C stack overflow", line=0, legal="local x = " + "(" * 100 + "1" + ")" * 100),
    error("B 20,000 nested tables", "local x = " + "{" * 20_000, "C stack overflow", line=0,
          legal="local x = " + "{" * 100 + "}" * 100),
    error("B 8,000 nested blocks", "do " * 8_000, "C stack overflow", line=0, legal="do " * 100 + "end " * 100),
    error("B 300 local variables", locals_of(300), "too many local variables", legal="do " + locals_of(150) + " end"),
    error("B 300 upvalues", upvalues_of(150), "too many upvalues", legal=upvalues_of(100)),
    error("B a source of 32 KiB", "-- " + "x" * 33_000, "more than the 32 KiB", line=0, legal="-- " + "x" * 25_000),
    error("B a constant _ENV (CVE-2022-28805)", "local _ENV <const> = 1; X = X", "", note="fixed in the Lua that is used; it "
          "must go on being an error and no crash"),
    error("B a loop's closing value", "for _ in next, {1}, nil, setmetatable({}, {__close = function() "
          "io.open('@PWN@', 'w'):close() end}) do break end", NO_METATABLES, harm="file"),
    error("B goto out of the chunk", "goto nowhere", "no visible label", line=0, legal="goto here ::here::"),
]
