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

---beta * x + alpha * (mat1 times mat2)
---@param x Tensor
---@param mat1 Tensor
---@param mat2 Tensor
---@param beta? number default 1
---@param alpha? number default 1
---@return Tensor
---@overload fun(named: {x: Tensor, mat1: Tensor, mat2: Tensor, beta?: number, alpha?: number}): Tensor
---@overload fun(x: Tensor, named: {mat1: Tensor, mat2: Tensor, beta?: number, alpha?: number}): Tensor
---@overload fun(x: Tensor, mat1: Tensor, named: {mat2: Tensor, beta?: number, alpha?: number}): Tensor
---@overload fun(x: Tensor, mat1: Tensor, mat2: Tensor, named: {beta?: number, alpha?: number}): Tensor
---@overload fun(x: Tensor, mat1: Tensor, mat2: Tensor, beta?: number, named: {alpha?: number}): Tensor
---@nodiscard
function torch.addmm(x, mat1, mat2, beta, alpha) end

---the p-norm distance of each row (a point) of x from each row of other
---@param x Tensor
---@param other Tensor
---@param p? number default 2
---@return Tensor
---@overload fun(named: {x: Tensor, other: Tensor, p?: number}): Tensor
---@overload fun(x: Tensor, named: {other: Tensor, p?: number}): Tensor
---@overload fun(x: Tensor, other: Tensor, named: {p?: number}): Tensor
---@nodiscard
function torch.cdist(x, other, p) end

---the sum of a matrix's diagonal
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.trace(x) end

---all products of two vectors
---@param x Tensor
---@param other Tensor
---@return Tensor
---@nodiscard
function torch.outer(x, other) end
