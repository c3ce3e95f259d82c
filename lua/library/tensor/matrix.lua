---@meta
-- Matrix products; written by `make manual`: do not edit

---@class Tensor
local Tensor = {}

---matrix product, batches broadcast
---@param other Tensor
---@return Tensor
---@nodiscard
function Tensor:matmul(other) end

---product of two matrices
---@param other Tensor
---@return Tensor
---@nodiscard
function Tensor:mm(other) end

---products of two batches of matrices
---@param other Tensor
---@return Tensor
---@nodiscard
function Tensor:bmm(other) end

---matrix times vector
---@param vec Tensor
---@return Tensor
---@nodiscard
function Tensor:mv(vec) end

---inner product of two vectors
---@param other Tensor
---@return Tensor
---@nodiscard
function Tensor:dot(other) end

---all products of two vectors
---@param other Tensor
---@return Tensor
---@nodiscard
function Tensor:outer(other) end
