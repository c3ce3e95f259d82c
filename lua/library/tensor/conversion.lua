---@meta
-- Types and Lua values; written by `make manual`: do not edit

---@class Tensor
local Tensor = {}

---the one element, as a Lua number (cuts the gradient)
---@return number value
---@nodiscard
function Tensor:item() end

---the elements as nested Lua lists
---@return number|table values
---@nodiscard
function Tensor:tolist() end

---"float32", "bool" or "int64"
---@return string name
---@nodiscard
function Tensor:dtype() end

---as float32
---@return Tensor
---@nodiscard
function Tensor:float() end

---as int64, rounded towards 0
---@return Tensor
---@nodiscard
function Tensor:int() end

---as bool: is not 0
---@return Tensor
---@nodiscard
function Tensor:bool() end

---as other's type
---@param other Tensor
---@return Tensor
---@nodiscard
function Tensor:type_as(other) end

---the same numbers without a gradient
---@return Tensor
---@nodiscard
function Tensor:detach() end

---a copy, with its gradient
---@return Tensor
---@nodiscard
function Tensor:clone() end

---true or false: a gradient flows through x
---@return boolean flows
---@nodiscard
function Tensor:requires_grad() end
