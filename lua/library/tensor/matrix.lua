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

---beta * x + alpha * (mat1 times mat2)
---@param mat1 Tensor
---@param mat2 Tensor
---@param beta? number default 1
---@param alpha? number default 1
---@return Tensor
---@overload fun(self: Tensor, named: {mat1: Tensor, mat2: Tensor, beta?: number, alpha?: number}): Tensor
---@overload fun(self: Tensor, mat1: Tensor, named: {mat2: Tensor, beta?: number, alpha?: number}): Tensor
---@overload fun(self: Tensor, mat1: Tensor, mat2: Tensor, named: {beta?: number, alpha?: number}): Tensor
---@overload fun(self: Tensor, mat1: Tensor, mat2: Tensor, beta?: number, named: {alpha?: number}): Tensor
---@nodiscard
function Tensor:addmm(mat1, mat2, beta, alpha) end

---the p-norm distance of each row (a point) of x from each row of other
---@param other Tensor
---@param p? number default 2
---@return Tensor
---@overload fun(self: Tensor, named: {other: Tensor, p?: number}): Tensor
---@overload fun(self: Tensor, other: Tensor, named: {p?: number}): Tensor
---@nodiscard
function Tensor:cdist(other, p) end

---the sum of a matrix's diagonal
---@return Tensor
---@nodiscard
function Tensor:trace() end

---all products of two vectors
---@param other Tensor
---@return Tensor
---@nodiscard
function Tensor:outer(other) end
