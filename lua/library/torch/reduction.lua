---@meta
-- Reductions; written by `make manual`: do not edit

---sum of all elements, or along dim (a number or a list)
---@param x Tensor
---@param dim? Dims
---@param keepdim? boolean default false
---@return Tensor
---@overload fun(named: {x: Tensor, dim?: Dims, keepdim?: boolean}): Tensor
---@overload fun(x: Tensor, named: {dim?: Dims, keepdim?: boolean}): Tensor
---@overload fun(x: Tensor, dim?: Dims, named: {keepdim?: boolean}): Tensor
---@nodiscard
function torch.sum(x, dim, keepdim) end

---mean of all elements, or along dim
---@param x Tensor
---@param dim? Dims
---@param keepdim? boolean default false
---@return Tensor
---@overload fun(named: {x: Tensor, dim?: Dims, keepdim?: boolean}): Tensor
---@overload fun(x: Tensor, named: {dim?: Dims, keepdim?: boolean}): Tensor
---@overload fun(x: Tensor, dim?: Dims, named: {keepdim?: boolean}): Tensor
---@nodiscard
function torch.mean(x, dim, keepdim) end

---largest element, or along dim
---@param x Tensor
---@param dim? Dims
---@param keepdim? boolean default false
---@return Tensor
---@overload fun(named: {x: Tensor, dim?: Dims, keepdim?: boolean}): Tensor
---@overload fun(x: Tensor, named: {dim?: Dims, keepdim?: boolean}): Tensor
---@overload fun(x: Tensor, dim?: Dims, named: {keepdim?: boolean}): Tensor
---@nodiscard
function torch.amax(x, dim, keepdim) end

---smallest element, or along dim
---@param x Tensor
---@param dim? Dims
---@param keepdim? boolean default false
---@return Tensor
---@overload fun(named: {x: Tensor, dim?: Dims, keepdim?: boolean}): Tensor
---@overload fun(x: Tensor, named: {dim?: Dims, keepdim?: boolean}): Tensor
---@overload fun(x: Tensor, dim?: Dims, named: {keepdim?: boolean}): Tensor
---@nodiscard
function torch.amin(x, dim, keepdim) end

---largest element; along dim: values, places; of two tensors: maximum
---@param x Tensor
---@param dim? Operand
---@param keepdim? boolean default false
---@return Tensor values
---@return Tensor? places
---@overload fun(named: {x: Tensor, dim?: Operand, keepdim?: boolean}): Tensor, Tensor?
---@overload fun(x: Tensor, named: {dim?: Operand, keepdim?: boolean}): Tensor, Tensor?
---@overload fun(x: Tensor, dim?: Operand, named: {keepdim?: boolean}): Tensor, Tensor?
---@nodiscard
function torch.max(x, dim, keepdim) end

---smallest element; along dim: values, places; of two tensors: minimum
---@param x Tensor
---@param dim? Operand
---@param keepdim? boolean default false
---@return Tensor values
---@return Tensor? places
---@overload fun(named: {x: Tensor, dim?: Operand, keepdim?: boolean}): Tensor, Tensor?
---@overload fun(x: Tensor, named: {dim?: Operand, keepdim?: boolean}): Tensor, Tensor?
---@overload fun(x: Tensor, dim?: Operand, named: {keepdim?: boolean}): Tensor, Tensor?
---@nodiscard
function torch.min(x, dim, keepdim) end

---place of the largest element
---@param x Tensor
---@param dim? integer
---@param keepdim? boolean default false
---@return Tensor
---@overload fun(named: {x: Tensor, dim?: integer, keepdim?: boolean}): Tensor
---@overload fun(x: Tensor, named: {dim?: integer, keepdim?: boolean}): Tensor
---@overload fun(x: Tensor, dim?: integer, named: {keepdim?: boolean}): Tensor
---@nodiscard
function torch.argmax(x, dim, keepdim) end

---place of the smallest element
---@param x Tensor
---@param dim? integer
---@param keepdim? boolean default false
---@return Tensor
---@overload fun(named: {x: Tensor, dim?: integer, keepdim?: boolean}): Tensor
---@overload fun(x: Tensor, named: {dim?: integer, keepdim?: boolean}): Tensor
---@overload fun(x: Tensor, dim?: integer, named: {keepdim?: boolean}): Tensor
---@nodiscard
function torch.argmin(x, dim, keepdim) end

---standard deviation
---@param x Tensor
---@param dim? Dims
---@param correction? number default 1
---@param keepdim? boolean default false
---@return Tensor
---@overload fun(named: {x: Tensor, dim?: Dims, correction?: number, keepdim?: boolean}): Tensor
---@overload fun(x: Tensor, named: {dim?: Dims, correction?: number, keepdim?: boolean}): Tensor
---@overload fun(x: Tensor, dim?: Dims, named: {correction?: number, keepdim?: boolean}): Tensor
---@overload fun(x: Tensor, dim?: Dims, correction?: number, named: {keepdim?: boolean}): Tensor
---@nodiscard
function torch.std(x, dim, correction, keepdim) end

---variance
---@param x Tensor
---@param dim? Dims
---@param correction? number default 1
---@param keepdim? boolean default false
---@return Tensor
---@overload fun(named: {x: Tensor, dim?: Dims, correction?: number, keepdim?: boolean}): Tensor
---@overload fun(x: Tensor, named: {dim?: Dims, correction?: number, keepdim?: boolean}): Tensor
---@overload fun(x: Tensor, dim?: Dims, named: {correction?: number, keepdim?: boolean}): Tensor
---@overload fun(x: Tensor, dim?: Dims, correction?: number, named: {keepdim?: boolean}): Tensor
---@nodiscard
function torch.var(x, dim, correction, keepdim) end

---the p-norm of all elements, or along dim
---@param x Tensor
---@param p? number default 2
---@param dim? Dims
---@param keepdim? boolean default false
---@return Tensor
---@overload fun(named: {x: Tensor, p?: number, dim?: Dims, keepdim?: boolean}): Tensor
---@overload fun(x: Tensor, named: {p?: number, dim?: Dims, keepdim?: boolean}): Tensor
---@overload fun(x: Tensor, p?: number, named: {dim?: Dims, keepdim?: boolean}): Tensor
---@overload fun(x: Tensor, p?: number, dim?: Dims, named: {keepdim?: boolean}): Tensor
---@nodiscard
function torch.norm(x, p, dim, keepdim) end

---product
---@param x Tensor
---@param dim? integer
---@param keepdim? boolean default false
---@return Tensor
---@overload fun(named: {x: Tensor, dim?: integer, keepdim?: boolean}): Tensor
---@overload fun(x: Tensor, named: {dim?: integer, keepdim?: boolean}): Tensor
---@overload fun(x: Tensor, dim?: integer, named: {keepdim?: boolean}): Tensor
---@nodiscard
function torch.prod(x, dim, keepdim) end

---every element holds (is not 0)
---@param x Tensor
---@param dim? Dims
---@param keepdim? boolean default false
---@return Tensor
---@overload fun(named: {x: Tensor, dim?: Dims, keepdim?: boolean}): Tensor
---@overload fun(x: Tensor, named: {dim?: Dims, keepdim?: boolean}): Tensor
---@overload fun(x: Tensor, dim?: Dims, named: {keepdim?: boolean}): Tensor
---@nodiscard
function torch.all(x, dim, keepdim) end

---at least one holds
---@param x Tensor
---@param dim? Dims
---@param keepdim? boolean default false
---@return Tensor
---@overload fun(named: {x: Tensor, dim?: Dims, keepdim?: boolean}): Tensor
---@overload fun(x: Tensor, named: {dim?: Dims, keepdim?: boolean}): Tensor
---@overload fun(x: Tensor, dim?: Dims, named: {keepdim?: boolean}): Tensor
---@nodiscard
function torch.any(x, dim, keepdim) end

---the lower median; along dim: values, places
---@param x Tensor
---@param dim? integer
---@param keepdim? boolean default false
---@return Tensor values
---@return Tensor? places
---@overload fun(named: {x: Tensor, dim?: integer, keepdim?: boolean}): Tensor, Tensor?
---@overload fun(x: Tensor, named: {dim?: integer, keepdim?: boolean}): Tensor, Tensor?
---@overload fun(x: Tensor, dim?: integer, named: {keepdim?: boolean}): Tensor, Tensor?
---@nodiscard
function torch.median(x, dim, keepdim) end

---the q-quantile, interpolated; q a number or a 1-d tensor
---@param x Tensor
---@param q Operand
---@param dim? integer
---@param keepdim? boolean default false
---@return Tensor
---@overload fun(named: {x: Tensor, q: Operand, dim?: integer, keepdim?: boolean}): Tensor
---@overload fun(x: Tensor, named: {q: Operand, dim?: integer, keepdim?: boolean}): Tensor
---@overload fun(x: Tensor, q: Operand, named: {dim?: integer, keepdim?: boolean}): Tensor
---@overload fun(x: Tensor, q: Operand, dim?: integer, named: {keepdim?: boolean}): Tensor
---@nodiscard
function torch.quantile(x, q, dim, keepdim) end

---log of the sum of exponentials along dim (needed)
---@param x Tensor
---@param dim? Dims
---@param keepdim? boolean default false
---@return Tensor
---@overload fun(named: {x: Tensor, dim?: Dims, keepdim?: boolean}): Tensor
---@overload fun(x: Tensor, named: {dim?: Dims, keepdim?: boolean}): Tensor
---@overload fun(x: Tensor, dim?: Dims, named: {keepdim?: boolean}): Tensor
---@nodiscard
function torch.logsumexp(x, dim, keepdim) end

---how many elements are not 0
---@param x Tensor
---@param dim? Dims
---@return Tensor
---@overload fun(named: {x: Tensor, dim?: Dims}): Tensor
---@overload fun(x: Tensor, named: {dim?: Dims}): Tensor
---@nodiscard
function torch.count_nonzero(x, dim) end

---running sum along dim
---@param x Tensor
---@param dim integer
---@return Tensor
---@nodiscard
function torch.cumsum(x, dim) end

---running product along dim
---@param x Tensor
---@param dim integer
---@return Tensor
---@nodiscard
function torch.cumprod(x, dim) end

---exp(x) / sum of exp(x) along dim
---@param x Tensor
---@param dim integer
---@return Tensor
---@nodiscard
function torch.softmax(x, dim) end

---its logarithm
---@param x Tensor
---@param dim integer
---@return Tensor
---@nodiscard
function torch.log_softmax(x, dim) end
