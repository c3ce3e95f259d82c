---@meta
-- Reductions; written by `make manual`: do not edit

---@class Tensor
local Tensor = {}

---sum of all elements, or along dim (a number or a list)
---@param dim? Dims
---@param keepdim? boolean default false
---@return Tensor
---@overload fun(self: Tensor, named: {dim?: Dims, keepdim?: boolean}): Tensor
---@overload fun(self: Tensor, dim?: Dims, named: {keepdim?: boolean}): Tensor
---@nodiscard
function Tensor:sum(dim, keepdim) end

---mean of all elements, or along dim
---@param dim? Dims
---@param keepdim? boolean default false
---@return Tensor
---@overload fun(self: Tensor, named: {dim?: Dims, keepdim?: boolean}): Tensor
---@overload fun(self: Tensor, dim?: Dims, named: {keepdim?: boolean}): Tensor
---@nodiscard
function Tensor:mean(dim, keepdim) end

---largest element, or along dim
---@param dim? Dims
---@param keepdim? boolean default false
---@return Tensor
---@overload fun(self: Tensor, named: {dim?: Dims, keepdim?: boolean}): Tensor
---@overload fun(self: Tensor, dim?: Dims, named: {keepdim?: boolean}): Tensor
---@nodiscard
function Tensor:amax(dim, keepdim) end

---smallest element, or along dim
---@param dim? Dims
---@param keepdim? boolean default false
---@return Tensor
---@overload fun(self: Tensor, named: {dim?: Dims, keepdim?: boolean}): Tensor
---@overload fun(self: Tensor, dim?: Dims, named: {keepdim?: boolean}): Tensor
---@nodiscard
function Tensor:amin(dim, keepdim) end

---largest element; along dim: values, places; of two tensors: maximum
---@param dim? Operand
---@param keepdim? boolean default false
---@return Tensor values
---@return Tensor places
---@overload fun(self: Tensor, named: {dim?: Operand, keepdim?: boolean}): Tensor, Tensor
---@overload fun(self: Tensor, dim?: Operand, named: {keepdim?: boolean}): Tensor, Tensor
---@nodiscard
function Tensor:max(dim, keepdim) end

---smallest element; along dim: values, places; of two tensors: minimum
---@param dim? Operand
---@param keepdim? boolean default false
---@return Tensor values
---@return Tensor places
---@overload fun(self: Tensor, named: {dim?: Operand, keepdim?: boolean}): Tensor, Tensor
---@overload fun(self: Tensor, dim?: Operand, named: {keepdim?: boolean}): Tensor, Tensor
---@nodiscard
function Tensor:min(dim, keepdim) end

---smallest and largest element
---@param dim? integer
---@param keepdim? boolean default false
---@return Tensor min
---@return Tensor max
---@overload fun(self: Tensor, named: {dim?: integer, keepdim?: boolean}): Tensor, Tensor
---@overload fun(self: Tensor, dim?: integer, named: {keepdim?: boolean}): Tensor, Tensor
---@nodiscard
function Tensor:aminmax(dim, keepdim) end

---place of the largest element
---@param dim? integer
---@param keepdim? boolean default false
---@return Tensor
---@overload fun(self: Tensor, named: {dim?: integer, keepdim?: boolean}): Tensor
---@overload fun(self: Tensor, dim?: integer, named: {keepdim?: boolean}): Tensor
---@nodiscard
function Tensor:argmax(dim, keepdim) end

---place of the smallest element
---@param dim? integer
---@param keepdim? boolean default false
---@return Tensor
---@overload fun(self: Tensor, named: {dim?: integer, keepdim?: boolean}): Tensor
---@overload fun(self: Tensor, dim?: integer, named: {keepdim?: boolean}): Tensor
---@nodiscard
function Tensor:argmin(dim, keepdim) end

---standard deviation
---@param dim? Dims
---@param correction? number default 1
---@param keepdim? boolean default false
---@return Tensor
---@overload fun(self: Tensor, named: {dim?: Dims, correction?: number, keepdim?: boolean}): Tensor
---@overload fun(self: Tensor, dim?: Dims, named: {correction?: number, keepdim?: boolean}): Tensor
---@overload fun(self: Tensor, dim?: Dims, correction?: number, named: {keepdim?: boolean}): Tensor
---@nodiscard
function Tensor:std(dim, correction, keepdim) end

---variance
---@param dim? Dims
---@param correction? number default 1
---@param keepdim? boolean default false
---@return Tensor
---@overload fun(self: Tensor, named: {dim?: Dims, correction?: number, keepdim?: boolean}): Tensor
---@overload fun(self: Tensor, dim?: Dims, named: {correction?: number, keepdim?: boolean}): Tensor
---@overload fun(self: Tensor, dim?: Dims, correction?: number, named: {keepdim?: boolean}): Tensor
---@nodiscard
function Tensor:var(dim, correction, keepdim) end

---standard deviation and mean
---@param dim? Dims
---@param correction? number default 1
---@param keepdim? boolean default false
---@return Tensor std
---@return Tensor mean
---@overload fun(self: Tensor, named: {dim?: Dims, correction?: number, keepdim?: boolean}): Tensor, Tensor
---@overload fun(self: Tensor, dim?: Dims, named: {correction?: number, keepdim?: boolean}): Tensor, Tensor
---@overload fun(self: Tensor, dim?: Dims, correction?: number, named: {keepdim?: boolean}): Tensor, Tensor
---@nodiscard
function Tensor:std_mean(dim, correction, keepdim) end

---variance and mean
---@param dim? Dims
---@param correction? number default 1
---@param keepdim? boolean default false
---@return Tensor var
---@return Tensor mean
---@overload fun(self: Tensor, named: {dim?: Dims, correction?: number, keepdim?: boolean}): Tensor, Tensor
---@overload fun(self: Tensor, dim?: Dims, named: {correction?: number, keepdim?: boolean}): Tensor, Tensor
---@overload fun(self: Tensor, dim?: Dims, correction?: number, named: {keepdim?: boolean}): Tensor, Tensor
---@nodiscard
function Tensor:var_mean(dim, correction, keepdim) end

---the p-norm of all elements, or along dim
---@param p? number default 2
---@param dim? Dims
---@param keepdim? boolean default false
---@return Tensor
---@overload fun(self: Tensor, named: {p?: number, dim?: Dims, keepdim?: boolean}): Tensor
---@overload fun(self: Tensor, p?: number, named: {dim?: Dims, keepdim?: boolean}): Tensor
---@overload fun(self: Tensor, p?: number, dim?: Dims, named: {keepdim?: boolean}): Tensor
---@nodiscard
function Tensor:norm(p, dim, keepdim) end

---product
---@param dim? integer
---@param keepdim? boolean default false
---@return Tensor
---@overload fun(self: Tensor, named: {dim?: integer, keepdim?: boolean}): Tensor
---@overload fun(self: Tensor, dim?: integer, named: {keepdim?: boolean}): Tensor
---@nodiscard
function Tensor:prod(dim, keepdim) end

---every element holds (is not 0)
---@param dim? Dims
---@param keepdim? boolean default false
---@return Tensor
---@overload fun(self: Tensor, named: {dim?: Dims, keepdim?: boolean}): Tensor
---@overload fun(self: Tensor, dim?: Dims, named: {keepdim?: boolean}): Tensor
---@nodiscard
function Tensor:all(dim, keepdim) end

---at least one holds
---@param dim? Dims
---@param keepdim? boolean default false
---@return Tensor
---@overload fun(self: Tensor, named: {dim?: Dims, keepdim?: boolean}): Tensor
---@overload fun(self: Tensor, dim?: Dims, named: {keepdim?: boolean}): Tensor
---@nodiscard
function Tensor:any(dim, keepdim) end

---the lower median; along dim: values, places
---@param dim? integer
---@param keepdim? boolean default false
---@return Tensor values
---@return Tensor places
---@overload fun(self: Tensor, named: {dim?: integer, keepdim?: boolean}): Tensor, Tensor
---@overload fun(self: Tensor, dim?: integer, named: {keepdim?: boolean}): Tensor, Tensor
---@nodiscard
function Tensor:median(dim, keepdim) end

---the q-quantile; q a number or a 1-d tensor; interpolation linear, lower, higher, midpoint or nearest
---@param q Operand
---@param dim? integer
---@param keepdim? boolean default false
---@param interpolation? string default "linear"
---@return Tensor
---@overload fun(self: Tensor, named: {q: Operand, dim?: integer, keepdim?: boolean, interpolation?: string}): Tensor
---@overload fun(self: Tensor, q: Operand, named: {dim?: integer, keepdim?: boolean, interpolation?: string}): Tensor
---@overload fun(self: Tensor, q: Operand, dim?: integer, named: {keepdim?: boolean, interpolation?: string}): Tensor
---@overload fun(self: Tensor, q: Operand, dim?: integer, keepdim?: boolean, named: {interpolation?: string}): Tensor
---@nodiscard
function Tensor:quantile(q, dim, keepdim, interpolation) end

---the q-quantile of what is not NaN
---@param q Operand
---@param dim? integer
---@param keepdim? boolean default false
---@param interpolation? string default "linear"
---@return Tensor
---@overload fun(self: Tensor, named: {q: Operand, dim?: integer, keepdim?: boolean, interpolation?: string}): Tensor
---@overload fun(self: Tensor, q: Operand, named: {dim?: integer, keepdim?: boolean, interpolation?: string}): Tensor
---@overload fun(self: Tensor, q: Operand, dim?: integer, named: {keepdim?: boolean, interpolation?: string}): Tensor
---@overload fun(self: Tensor, q: Operand, dim?: integer, keepdim?: boolean, named: {interpolation?: string}): Tensor
---@nodiscard
function Tensor:nanquantile(q, dim, keepdim, interpolation) end

---the lower median of what is not NaN; along dim: values, places
---@param dim? integer
---@param keepdim? boolean default false
---@return Tensor values
---@return Tensor places
---@overload fun(self: Tensor, named: {dim?: integer, keepdim?: boolean}): Tensor, Tensor
---@overload fun(self: Tensor, dim?: integer, named: {keepdim?: boolean}): Tensor, Tensor
---@nodiscard
function Tensor:nanmedian(dim, keepdim) end

---sum of what is not NaN
---@param dim? Dims
---@param keepdim? boolean default false
---@return Tensor
---@overload fun(self: Tensor, named: {dim?: Dims, keepdim?: boolean}): Tensor
---@overload fun(self: Tensor, dim?: Dims, named: {keepdim?: boolean}): Tensor
---@nodiscard
function Tensor:nansum(dim, keepdim) end

---mean of what is not NaN
---@param dim? Dims
---@param keepdim? boolean default false
---@return Tensor
---@overload fun(self: Tensor, named: {dim?: Dims, keepdim?: boolean}): Tensor
---@overload fun(self: Tensor, dim?: Dims, named: {keepdim?: boolean}): Tensor
---@nodiscard
function Tensor:nanmean(dim, keepdim) end

---log of the sum of exponentials along dim (needed)
---@param dim? Dims
---@param keepdim? boolean default false
---@return Tensor
---@overload fun(self: Tensor, named: {dim?: Dims, keepdim?: boolean}): Tensor
---@overload fun(self: Tensor, dim?: Dims, named: {keepdim?: boolean}): Tensor
---@nodiscard
function Tensor:logsumexp(dim, keepdim) end

---how many elements are not 0
---@param dim? Dims
---@return Tensor
---@overload fun(self: Tensor, named: {dim?: Dims}): Tensor
---@nodiscard
function Tensor:count_nonzero(dim) end

---running sum along dim
---@param dim integer
---@return Tensor
---@nodiscard
function Tensor:cumsum(dim) end

---running product along dim
---@param dim integer
---@return Tensor
---@nodiscard
function Tensor:cumprod(dim) end

---running maximum along dim, and its places
---@param dim integer
---@return Tensor values
---@return Tensor places
---@nodiscard
function Tensor:cummax(dim) end

---running minimum along dim, and its places
---@param dim integer
---@return Tensor values
---@return Tensor places
---@nodiscard
function Tensor:cummin(dim) end

---logarithm of the running sum of exponentials along dim
---@param dim integer
---@return Tensor
---@nodiscard
function Tensor:logcumsumexp(dim) end

---differences of neighbours along dim, taken n times
---@param n? integer default 1
---@param dim? integer default -1
---@return Tensor
---@overload fun(self: Tensor, named: {n?: integer, dim?: integer}): Tensor
---@overload fun(self: Tensor, n?: integer, named: {dim?: integer}): Tensor
---@nodiscard
function Tensor:diff(n, dim) end

---how many elements fall into each of equal bins from min to max (both 0: x's own)
---@param bins? integer default 100
---@param min? number default 0
---@param max? number default 0
---@return Tensor
---@overload fun(self: Tensor, named: {bins?: integer, min?: number, max?: number}): Tensor
---@overload fun(self: Tensor, bins?: integer, named: {min?: number, max?: number}): Tensor
---@overload fun(self: Tensor, bins?: integer, min?: number, named: {max?: number}): Tensor
---@nodiscard
function Tensor:histc(bins, min, max) end

---how often 0, 1, 2, … occur in a 1-d tensor, or the sums of their weights
---@param weights? Tensor
---@param minlength? integer default 0
---@return Tensor
---@overload fun(self: Tensor, named: {weights?: Tensor, minlength?: integer}): Tensor
---@overload fun(self: Tensor, weights?: Tensor, named: {minlength?: integer}): Tensor
---@nodiscard
function Tensor:bincount(weights, minlength) end

---exp(x) / sum of exp(x) along dim
---@param dim integer
---@return Tensor
---@nodiscard
function Tensor:softmax(dim) end

---its logarithm
---@param dim integer
---@return Tensor
---@nodiscard
function Tensor:log_softmax(dim) end
