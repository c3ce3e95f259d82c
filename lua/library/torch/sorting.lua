---@meta
-- Sorting; written by `make manual`: do not edit

---sorted along dim, stable: values, places
---@param x Tensor
---@param dim? integer default -1
---@param descending? boolean default false
---@return Tensor values
---@return Tensor places
---@overload fun(named: {x: Tensor, dim?: integer, descending?: boolean}): Tensor, Tensor
---@overload fun(x: Tensor, named: {dim?: integer, descending?: boolean}): Tensor, Tensor
---@overload fun(x: Tensor, dim?: integer, named: {descending?: boolean}): Tensor, Tensor
---@nodiscard
function torch.sort(x, dim, descending) end

---the places that sort x, stable
---@param x Tensor
---@param dim? integer default -1
---@param descending? boolean default false
---@return Tensor places
---@overload fun(named: {x: Tensor, dim?: integer, descending?: boolean}): Tensor
---@overload fun(x: Tensor, named: {dim?: integer, descending?: boolean}): Tensor
---@overload fun(x: Tensor, dim?: integer, named: {descending?: boolean}): Tensor
---@nodiscard
function torch.argsort(x, dim, descending) end

---the k largest (or smallest) along dim, sorted: values, places
---@param x Tensor
---@param k integer
---@param dim? integer default -1
---@param largest? boolean default true
---@param sorted? boolean default true
---@return Tensor values
---@return Tensor places
---@overload fun(named: {x: Tensor, k: integer, dim?: integer, largest?: boolean, sorted?: boolean}): Tensor, Tensor
---@overload fun(x: Tensor, named: {k: integer, dim?: integer, largest?: boolean, sorted?: boolean}): Tensor, Tensor
---@overload fun(x: Tensor, k: integer, named: {dim?: integer, largest?: boolean, sorted?: boolean}): Tensor, Tensor
---@overload fun(x: Tensor, k: integer, dim?: integer, named: {largest?: boolean, sorted?: boolean}): Tensor, Tensor
---@overload fun(x: Tensor, k: integer, dim?: integer, largest?: boolean, named: {sorted?: boolean}): Tensor, Tensor
---@nodiscard
function torch.topk(x, k, dim, largest, sorted) end

---the most frequent element along dim, the smallest of several: values, places
---@param x Tensor
---@param dim? integer default -1
---@param keepdim? boolean default false
---@return Tensor values
---@return Tensor places
---@overload fun(named: {x: Tensor, dim?: integer, keepdim?: boolean}): Tensor, Tensor
---@overload fun(x: Tensor, named: {dim?: integer, keepdim?: boolean}): Tensor, Tensor
---@overload fun(x: Tensor, dim?: integer, named: {keepdim?: boolean}): Tensor, Tensor
---@nodiscard
function torch.mode(x, dim, keepdim) end

---the k-th smallest along dim, k from 1: values, places
---@param x Tensor
---@param k integer
---@param dim? integer default -1
---@param keepdim? boolean default false
---@return Tensor values
---@return Tensor places
---@overload fun(named: {x: Tensor, k: integer, dim?: integer, keepdim?: boolean}): Tensor, Tensor
---@overload fun(x: Tensor, named: {k: integer, dim?: integer, keepdim?: boolean}): Tensor, Tensor
---@overload fun(x: Tensor, k: integer, named: {dim?: integer, keepdim?: boolean}): Tensor, Tensor
---@overload fun(x: Tensor, k: integer, dim?: integer, named: {keepdim?: boolean}): Tensor, Tensor
---@nodiscard
function torch.kthvalue(x, k, dim, keepdim) end
