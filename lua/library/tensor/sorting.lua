---@meta
-- Sorting; written by `make manual`: do not edit

---@class Tensor
local Tensor = {}

---sorted along dim, stable: values, places
---@param dim? integer default -1
---@param descending? boolean default false
---@return Tensor values
---@return Tensor places
---@overload fun(self: Tensor, named: {dim?: integer, descending?: boolean}): Tensor, Tensor
---@overload fun(self: Tensor, dim?: integer, named: {descending?: boolean}): Tensor, Tensor
---@nodiscard
function Tensor:sort(dim, descending) end

---the places that sort x, stable
---@param dim? integer default -1
---@param descending? boolean default false
---@return Tensor places
---@overload fun(self: Tensor, named: {dim?: integer, descending?: boolean}): Tensor
---@overload fun(self: Tensor, dim?: integer, named: {descending?: boolean}): Tensor
---@nodiscard
function Tensor:argsort(dim, descending) end

---the k largest (or smallest) along dim, sorted: values, places
---@param k integer
---@param dim? integer default -1
---@param largest? boolean default true
---@param sorted? boolean default true
---@return Tensor values
---@return Tensor places
---@overload fun(self: Tensor, named: {k: integer, dim?: integer, largest?: boolean, sorted?: boolean}): Tensor, Tensor
---@overload fun(self: Tensor, k: integer, named: {dim?: integer, largest?: boolean, sorted?: boolean}): Tensor, Tensor
---@overload fun(self: Tensor, k: integer, dim?: integer, named: {largest?: boolean, sorted?: boolean}): Tensor, Tensor
---@overload fun(self: Tensor, k: integer, dim?: integer, largest?: boolean, named: {sorted?: boolean}): Tensor, Tensor
---@nodiscard
function Tensor:topk(k, dim, largest, sorted) end

---the most frequent element along dim, the smallest of several: values, places
---@param dim? integer default -1
---@param keepdim? boolean default false
---@return Tensor values
---@return Tensor places
---@overload fun(self: Tensor, named: {dim?: integer, keepdim?: boolean}): Tensor, Tensor
---@overload fun(self: Tensor, dim?: integer, named: {keepdim?: boolean}): Tensor, Tensor
---@nodiscard
function Tensor:mode(dim, keepdim) end

---the k-th smallest along dim, k from 1: values, places
---@param k integer
---@param dim? integer default -1
---@param keepdim? boolean default false
---@return Tensor values
---@return Tensor places
---@overload fun(self: Tensor, named: {k: integer, dim?: integer, keepdim?: boolean}): Tensor, Tensor
---@overload fun(self: Tensor, k: integer, named: {dim?: integer, keepdim?: boolean}): Tensor, Tensor
---@overload fun(self: Tensor, k: integer, dim?: integer, named: {keepdim?: boolean}): Tensor, Tensor
---@nodiscard
function Tensor:kthvalue(k, dim, keepdim) end
