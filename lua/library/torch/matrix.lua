---@meta
-- Matrix products; written by `make manual`: do not edit

---matrix product, batches broadcast
---@param x Tensor
---@param other Tensor
---@return Tensor
---@nodiscard
function torch.matmul(x, other) end

---product of two matrices
---@param x Tensor
---@param other Tensor
---@return Tensor
---@nodiscard
function torch.mm(x, other) end

---products of two batches of matrices
---@param x Tensor
---@param other Tensor
---@return Tensor
---@nodiscard
function torch.bmm(x, other) end

---matrix times vector
---@param x Tensor
---@param vec Tensor
---@return Tensor
---@nodiscard
function torch.mv(x, vec) end

---inner product of two vectors
---@param x Tensor
---@param other Tensor
---@return Tensor
---@nodiscard
function torch.dot(x, other) end

---all products of two vectors
---@param x Tensor
---@param other Tensor
---@return Tensor
---@nodiscard
function torch.outer(x, other) end
