---@meta
-- Shapes; written by `make manual`: do not edit

---@class Tensor
local Tensor = {}

---the size of dimension dim; without dim the list of all (a Lua list: its first place is 1)
---@param dim? integer
---@return number|table size
---@overload fun(self: Tensor, named: {dim?: integer}): number|table
---@nodiscard
function Tensor:size(dim) end

---the list of all sizes: local n, k = table.unpack(x:shape())
---@return integer[] sizes
---@nodiscard
function Tensor:shape() end

---the number of dimensions
---@return integer count
---@nodiscard
function Tensor:dim() end

---the number of elements
---@return integer count
---@nodiscard
function Tensor:numel() end

---the same elements in another shape; one size may be -1
---@param ... Dims size
---@return Tensor
---@nodiscard
function Tensor:view(...) end

---like view, copies where it must
---@param ... Dims size
---@return Tensor
---@nodiscard
function Tensor:reshape(...) end

---x in other's shape
---@param other Tensor
---@return Tensor
---@nodiscard
function Tensor:view_as(other) end

---dimensions start_dim … end_dim as one
---@param start_dim? integer default 0
---@param end_dim? integer default -1
---@return Tensor
---@overload fun(self: Tensor, named: {start_dim?: integer, end_dim?: integer}): Tensor
---@overload fun(self: Tensor, start_dim?: integer, named: {end_dim?: integer}): Tensor
---@nodiscard
function Tensor:flatten(start_dim, end_dim) end

---one dimension as several
---@param dim integer
---@param sizes Dims
---@return Tensor
---@nodiscard
function Tensor:unflatten(dim, sizes) end

---dimensions in another order
---@param ... Dims dims
---@return Tensor
---@nodiscard
function Tensor:permute(...) end

---two dimensions swapped
---@param dim0 integer
---@param dim1 integer
---@return Tensor
---@nodiscard
function Tensor:transpose(dim0, dim1) end

---a matrix transposed
---@return Tensor
---@nodiscard
function Tensor:t() end

---dimensions moved, the others in their order
---@param source Dims
---@param destination Dims
---@return Tensor
---@nodiscard
function Tensor:movedim(source, destination) end

---a dimension of size 1 put in at dim
---@param dim integer
---@return Tensor
---@nodiscard
function Tensor:unsqueeze(dim) end

---dimensions of size 1 taken out
---@param dim? Dims
---@return Tensor
---@overload fun(self: Tensor, named: {dim?: Dims}): Tensor
---@nodiscard
function Tensor:squeeze(dim) end

---dimensions of size 1 repeated without a copy; -1 keeps a size
---@param ... Dims size
---@return Tensor
---@nodiscard
function Tensor:expand(...) end

---x expanded to other's shape
---@param other Tensor
---@return Tensor
---@nodiscard
function Tensor:expand_as(other) end

---the same as expand
---@param ... Dims size
---@return Tensor
---@nodiscard
function Tensor:broadcast_to(...) end

---a copy in order, if x is not
---@return Tensor
---@nodiscard
function Tensor:contiguous() end

---repeated along each dimension (PyTorch's repeat, a Lua keyword)
---@param ... Dims dims
---@return Tensor
---@nodiscard
function Tensor:tile(...) end

---each element repeated
---@param repeats integer
---@param dim? integer
---@return Tensor
---@overload fun(self: Tensor, named: {repeats: integer, dim?: integer}): Tensor
---@overload fun(self: Tensor, repeats: integer, named: {dim?: integer}): Tensor
---@nodiscard
function Tensor:repeat_interleave(repeats, dim) end

---about equal parts, as several results
---@param chunks integer
---@param dim? integer default 0
---@return Tensor ... parts
---@overload fun(self: Tensor, named: {chunks: integer, dim?: integer}): Tensor ...
---@overload fun(self: Tensor, chunks: integer, named: {dim?: integer}): Tensor ...
---@nodiscard
function Tensor:chunk(chunks, dim) end

---parts of a size (or of the sizes in a list), as several results
---@param split_size Dims
---@param dim? integer default 0
---@return Tensor ... parts
---@overload fun(self: Tensor, named: {split_size: Dims, dim?: integer}): Tensor ...
---@overload fun(self: Tensor, split_size: Dims, named: {dim?: integer}): Tensor ...
---@nodiscard
function Tensor:split(split_size, dim) end

---the slices along dim, as several results
---@param dim? integer default 0
---@return Tensor ... slices
---@overload fun(self: Tensor, named: {dim?: integer}): Tensor ...
---@nodiscard
function Tensor:unbind(dim) end

---reversed along dims
---@param ... Dims dims
---@return Tensor
---@nodiscard
function Tensor:flip(...) end

---shifted along dims, what leaves one end enters the other
---@param shifts Dims
---@param dims? Dims
---@return Tensor
---@overload fun(self: Tensor, named: {shifts: Dims, dims?: Dims}): Tensor
---@overload fun(self: Tensor, shifts: Dims, named: {dims?: Dims}): Tensor
---@nodiscard
function Tensor:roll(shifts, dims) end

---widened by pad = {before, after} of the last dimension, then of the one before it
---@param pad integer[]
---@param value? number default 0
---@return Tensor
---@overload fun(self: Tensor, named: {pad: integer[], value?: number}): Tensor
---@overload fun(self: Tensor, pad: integer[], named: {value?: number}): Tensor
---@nodiscard
function Tensor:pad(pad, value) end

---windows along a dimension, as a new last dimension
---@param dimension integer
---@param size integer
---@param step integer
---@return Tensor
---@nodiscard
function Tensor:unfold(dimension, size, step) end

---the lower triangle, 0 elsewhere
---@param diagonal? integer default 0
---@return Tensor
---@overload fun(self: Tensor, named: {diagonal?: integer}): Tensor
---@nodiscard
function Tensor:tril(diagonal) end

---the upper triangle, 0 elsewhere
---@param diagonal? integer default 0
---@return Tensor
---@overload fun(self: Tensor, named: {diagonal?: integer}): Tensor
---@nodiscard
function Tensor:triu(diagonal) end

---the diagonal of a matrix, or a matrix with this diagonal
---@param diagonal? integer default 0
---@return Tensor
---@overload fun(self: Tensor, named: {diagonal?: integer}): Tensor
---@nodiscard
function Tensor:diag(diagonal) end

---the diagonals of matrices, as a new last dimension
---@param offset? integer default 0
---@param dim1? integer default 0
---@param dim2? integer default 1
---@return Tensor
---@overload fun(self: Tensor, named: {offset?: integer, dim1?: integer, dim2?: integer}): Tensor
---@overload fun(self: Tensor, offset?: integer, named: {dim1?: integer, dim2?: integer}): Tensor
---@overload fun(self: Tensor, offset?: integer, dim1?: integer, named: {dim2?: integer}): Tensor
---@nodiscard
function Tensor:diagonal(offset, dim1, dim2) end
