---@meta
-- What Lua has in a quantizer file: .luarc.json turns the standard library off, and this is in its
-- place. There is no print, require, os, io, debug, coroutine, load, metatable, random number or
-- string pattern.

---Raises `message` unless `v` holds; returns all its arguments.
---@generic T
---@param v? T
---@param message? any
---@param ... any
---@return T
---@return any ...
function assert(v, message, ...) end

---Ends the call with an error. error(tostring(x)) is how to look at a value.
---@param message any
---@param level? integer
function error(message, level) end

---Walks a list: for place, element in ipairs(list).
---@generic T: table, V
---@param t T
---@return fun(table: V[], i?: integer): integer, V
---@return T
---@return integer i
function ipairs(t) end

---Walks a table: numbers first, then strings, in order.
---@generic T: table, K, V
---@param t T
---@return fun(table: table<K, V>, index?: K): K, V
---@return T
function pairs(t) end

---Calls f(...): true and its results, or false and the error. A limit can't be caught.
---@param f function
---@param ... any
---@return boolean success
---@return any result
---@return any ...
function pcall(f, ...) end

---The arguments from the n-th on, or their number for "#".
---@param n integer|"#"
---@param ... any
---@return any ...
function select(n, ...) end

---@overload fun(e: string, base: integer): integer?
---@param e any
---@return number?
function tonumber(e) end

---A value as text; of a Tensor its shape and first elements, never an address.
---@param v any
---@return string
function tostring(v) end

---@param v any
---@return "nil"|"number"|"string"|"boolean"|"table"|"function"|"userdata" # a Tensor is "userdata"
function type(v) end

---Functions of plain numbers; a Tensor has methods of the same names.
---@class mathlib
---@field huge number infinity
---@field pi number
---@field maxinteger integer
---@field mininteger integer
math = {}

---@generic Number: number
---@param x Number
---@return Number
function math.abs(x) end
---@param x number
---@return number
function math.acos(x) end
---@param x number
---@return number
function math.asin(x) end
---The angle of the point (x, y).
---@param y number
---@param x? number default 1
---@return number
function math.atan(y, x) end
---@param x number
---@return integer
function math.ceil(x) end
---@param x number
---@return number
function math.cos(x) end
---Radians as degrees.
---@param x number
---@return number
function math.deg(x) end
---@param x number
---@return number
function math.exp(x) end
---@param x number
---@return integer
function math.floor(x) end
---@param x number
---@param y number
---@return number
function math.fmod(x, y) end
---@param x number
---@param base? number default e
---@return number
function math.log(x, base) end
---@generic Number: number
---@param x Number
---@param ... Number
---@return Number
function math.max(x, ...) end
---@generic Number: number
---@param x Number
---@param ... Number
---@return Number
function math.min(x, ...) end
---@param x number
---@return number whole
---@return number fraction
function math.modf(x) end
---Degrees as radians.
---@param x number
---@return number
function math.rad(x) end
---@param x number
---@return number
function math.sin(x) end
---@param x number
---@return number
function math.sqrt(x) end
---@param x number
---@return number
function math.tan(x) end
---@param x any
---@return integer?
function math.tointeger(x) end
---@param x any
---@return "integer"|"float"|nil
function math.type(x) end
---Whether m is below n as unsigned integers.
---@param m integer
---@param n integer
---@return boolean
function math.ult(m, n) end

---Functions of strings, also methods: ("x"):rep(3).
---@class stringlib
string = {}

---@param s string
---@param i? integer default 1
---@param j? integer default i
---@return integer ...
function string.byte(s, i, j) end
---@param byte integer
---@param ... integer
---@return string
function string.char(byte, ...) end
---C's printf with the conversions d i u o x X c a A e E f F g G s.
---@param s string
---@param ... any
---@return string
function string.format(s, ...) end
---@param s string
---@return integer
function string.len(s) end
---@param s string
---@return string
function string.lower(s) end
---@param s string
---@param n integer
---@param sep? string
---@return string
function string.rep(s, n, sep) end
---@param s string
---@return string
function string.reverse(s) end
---@param s string
---@param i integer
---@param j? integer default -1
---@return string
function string.sub(s, i, j) end
---@param s string
---@return string
function string.upper(s) end

---Functions of lists.
---@class tablelib
table = {}

---@param list table
---@param sep? string
---@param i? integer default 1
---@param j? integer default #list
---@return string
function table.concat(list, sep, i, j) end
---@overload fun(list: table, value: any)
---@param list table
---@param pos integer
---@param value any
function table.insert(list, pos, value) end
---A list of the arguments; its field n is their number.
---@param ... any
---@return table
function table.pack(...) end
---@param list table
---@param pos? integer default #list
---@return any
function table.remove(list, pos) end
---Sorts a list in place; stable.
---@generic T
---@param list T[]
---@param comp? fun(a: T, b: T): boolean
function table.sort(list, comp) end
---@generic T
---@param list T[]
---@param i? integer default 1
---@param j? integer default #list
---@return T ...
function table.unpack(list, i, j) end
