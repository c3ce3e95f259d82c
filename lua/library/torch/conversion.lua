---@meta
-- Types and Lua values; written by `make manual`: do not edit

---the one element, as a Lua number (cuts the gradient)
---@param x Tensor
---@return number value
---@nodiscard
function torch.item(x) end

---the elements as nested Lua lists
---@param x Tensor
---@return number|table values
---@nodiscard
function torch.tolist(x) end

---"float32", "bool" or "int64"
---@param x Tensor
---@return string name
---@nodiscard
function torch.dtype(x) end

---as float32
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.float(x) end

---as int64, rounded towards 0
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.int(x) end

---as bool: is not 0
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.bool(x) end

---as other's type
---@param x Tensor
---@param other Tensor
---@return Tensor
---@nodiscard
function torch.type_as(x, other) end

---the same numbers without a gradient
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.detach(x) end

---a copy, with its gradient
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.clone(x) end

---true or false: a gradient flows through x
---@param x Tensor
---@return boolean flows
---@nodiscard
function torch.requires_grad(x) end
