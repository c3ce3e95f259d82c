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
---@return Tensor places
---@overload fun(named: {x: Tensor, dim?: Operand, keepdim?: boolean}): Tensor, Tensor
---@overload fun(x: Tensor, named: {dim?: Operand, keepdim?: boolean}): Tensor, Tensor
---@overload fun(x: Tensor, dim?: Operand, named: {keepdim?: boolean}): Tensor, Tensor
---@nodiscard
function torch.max(x, dim, keepdim) end

---smallest element; along dim: values, places; of two tensors: minimum
---@param x Tensor
---@param dim? Operand
---@param keepdim? boolean default false
---@return Tensor values
---@return Tensor places
---@overload fun(named: {x: Tensor, dim?: Operand, keepdim?: boolean}): Tensor, Tensor
---@overload fun(x: Tensor, named: {dim?: Operand, keepdim?: boolean}): Tensor, Tensor
---@overload fun(x: Tensor, dim?: Operand, named: {keepdim?: boolean}): Tensor, Tensor
---@nodiscard
function torch.min(x, dim, keepdim) end

---smallest and largest element
---@param x Tensor
---@param dim? integer
---@param keepdim? boolean default false
---@return Tensor min
---@return Tensor max
---@overload fun(named: {x: Tensor, dim?: integer, keepdim?: boolean}): Tensor, Tensor
---@overload fun(x: Tensor, named: {dim?: integer, keepdim?: boolean}): Tensor, Tensor
---@overload fun(x: Tensor, dim?: integer, named: {keepdim?: boolean}): Tensor, Tensor
---@nodiscard
function torch.aminmax(x, dim, keepdim) end

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

---standard deviation and mean
---@param x Tensor
---@param dim? Dims
---@param correction? number default 1
---@param keepdim? boolean default false
---@return Tensor std
---@return Tensor mean
---@overload fun(named: {x: Tensor, dim?: Dims, correction?: number, keepdim?: boolean}): Tensor, Tensor
---@overload fun(x: Tensor, named: {dim?: Dims, correction?: number, keepdim?: boolean}): Tensor, Tensor
---@overload fun(x: Tensor, dim?: Dims, named: {correction?: number, keepdim?: boolean}): Tensor, Tensor
---@overload fun(x: Tensor, dim?: Dims, correction?: number, named: {keepdim?: boolean}): Tensor, Tensor
---@nodiscard
function torch.std_mean(x, dim, correction, keepdim) end

---variance and mean
---@param x Tensor
---@param dim? Dims
---@param correction? number default 1
---@param keepdim? boolean default false
---@return Tensor var
---@return Tensor mean
---@overload fun(named: {x: Tensor, dim?: Dims, correction?: number, keepdim?: boolean}): Tensor, Tensor
---@overload fun(x: Tensor, named: {dim?: Dims, correction?: number, keepdim?: boolean}): Tensor, Tensor
---@overload fun(x: Tensor, dim?: Dims, named: {correction?: number, keepdim?: boolean}): Tensor, Tensor
---@overload fun(x: Tensor, dim?: Dims, correction?: number, named: {keepdim?: boolean}): Tensor, Tensor
---@nodiscard
function torch.var_mean(x, dim, correction, keepdim) end

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
---@return Tensor places
---@overload fun(named: {x: Tensor, dim?: integer, keepdim?: boolean}): Tensor, Tensor
---@overload fun(x: Tensor, named: {dim?: integer, keepdim?: boolean}): Tensor, Tensor
---@overload fun(x: Tensor, dim?: integer, named: {keepdim?: boolean}): Tensor, Tensor
---@nodiscard
function torch.median(x, dim, keepdim) end

---the q-quantile; q a number or a 1-d tensor; interpolation linear, lower, higher, midpoint or nearest
---@param x Tensor
---@param q Operand
---@param dim? integer
---@param keepdim? boolean default false
---@param interpolation? string default "linear"
---@return Tensor
---@overload fun(named: {x: Tensor, q: Operand, dim?: integer, keepdim?: boolean, interpolation?: string}): Tensor
---@overload fun(x: Tensor, named: {q: Operand, dim?: integer, keepdim?: boolean, interpolation?: string}): Tensor
---@overload fun(x: Tensor, q: Operand, named: {dim?: integer, keepdim?: boolean, interpolation?: string}): Tensor
---@overload fun(x: Tensor, q: Operand, dim?: integer, named: {keepdim?: boolean, interpolation?: string}): Tensor
---@overload fun(x: Tensor, q: Operand, dim?: integer, keepdim?: boolean, named: {interpolation?: string}): Tensor
---@nodiscard
function torch.quantile(x, q, dim, keepdim, interpolation) end

---the q-quantile of what is not NaN
---@param x Tensor
---@param q Operand
---@param dim? integer
---@param keepdim? boolean default false
---@param interpolation? string default "linear"
---@return Tensor
---@overload fun(named: {x: Tensor, q: Operand, dim?: integer, keepdim?: boolean, interpolation?: string}): Tensor
---@overload fun(x: Tensor, named: {q: Operand, dim?: integer, keepdim?: boolean, interpolation?: string}): Tensor
---@overload fun(x: Tensor, q: Operand, named: {dim?: integer, keepdim?: boolean, interpolation?: string}): Tensor
---@overload fun(x: Tensor, q: Operand, dim?: integer, named: {keepdim?: boolean, interpolation?: string}): Tensor
---@overload fun(x: Tensor, q: Operand, dim?: integer, keepdim?: boolean, named: {interpolation?: string}): Tensor
---@nodiscard
function torch.nanquantile(x, q, dim, keepdim, interpolation) end

---the lower median of what is not NaN; along dim: values, places
---@param x Tensor
---@param dim? integer
---@param keepdim? boolean default false
---@return Tensor values
---@return Tensor places
---@overload fun(named: {x: Tensor, dim?: integer, keepdim?: boolean}): Tensor, Tensor
---@overload fun(x: Tensor, named: {dim?: integer, keepdim?: boolean}): Tensor, Tensor
---@overload fun(x: Tensor, dim?: integer, named: {keepdim?: boolean}): Tensor, Tensor
---@nodiscard
function torch.nanmedian(x, dim, keepdim) end

---sum of what is not NaN
---@param x Tensor
---@param dim? Dims
---@param keepdim? boolean default false
---@return Tensor
---@overload fun(named: {x: Tensor, dim?: Dims, keepdim?: boolean}): Tensor
---@overload fun(x: Tensor, named: {dim?: Dims, keepdim?: boolean}): Tensor
---@overload fun(x: Tensor, dim?: Dims, named: {keepdim?: boolean}): Tensor
---@nodiscard
function torch.nansum(x, dim, keepdim) end

---mean of what is not NaN
---@param x Tensor
---@param dim? Dims
---@param keepdim? boolean default false
---@return Tensor
---@overload fun(named: {x: Tensor, dim?: Dims, keepdim?: boolean}): Tensor
---@overload fun(x: Tensor, named: {dim?: Dims, keepdim?: boolean}): Tensor
---@overload fun(x: Tensor, dim?: Dims, named: {keepdim?: boolean}): Tensor
---@nodiscard
function torch.nanmean(x, dim, keepdim) end

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

---running maximum along dim, and its places
---@param x Tensor
---@param dim integer
---@return Tensor values
---@return Tensor places
---@nodiscard
function torch.cummax(x, dim) end

---running minimum along dim, and its places
---@param x Tensor
---@param dim integer
---@return Tensor values
---@return Tensor places
---@nodiscard
function torch.cummin(x, dim) end

---logarithm of the running sum of exponentials along dim
---@param x Tensor
---@param dim integer
---@return Tensor
---@nodiscard
function torch.logcumsumexp(x, dim) end

---differences of neighbours along dim, taken n times
---@param x Tensor
---@param n? integer default 1
---@param dim? integer default -1
---@return Tensor
---@overload fun(named: {x: Tensor, n?: integer, dim?: integer}): Tensor
---@overload fun(x: Tensor, named: {n?: integer, dim?: integer}): Tensor
---@overload fun(x: Tensor, n?: integer, named: {dim?: integer}): Tensor
---@nodiscard
function torch.diff(x, n, dim) end

---how many elements fall into each of equal bins from min to max (both 0: x's own)
---@param x Tensor
---@param bins? integer default 100
---@param min? number default 0
---@param max? number default 0
---@return Tensor
---@overload fun(named: {x: Tensor, bins?: integer, min?: number, max?: number}): Tensor
---@overload fun(x: Tensor, named: {bins?: integer, min?: number, max?: number}): Tensor
---@overload fun(x: Tensor, bins?: integer, named: {min?: number, max?: number}): Tensor
---@overload fun(x: Tensor, bins?: integer, min?: number, named: {max?: number}): Tensor
---@nodiscard
function torch.histc(x, bins, min, max) end

---how often 0, 1, 2, … occur in a 1-d tensor, or the sums of their weights
---@param x Tensor
---@param weights? Tensor
---@param minlength? integer default 0
---@return Tensor
---@overload fun(named: {x: Tensor, weights?: Tensor, minlength?: integer}): Tensor
---@overload fun(x: Tensor, named: {weights?: Tensor, minlength?: integer}): Tensor
---@overload fun(x: Tensor, weights?: Tensor, named: {minlength?: integer}): Tensor
---@nodiscard
function torch.bincount(x, weights, minlength) end

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
