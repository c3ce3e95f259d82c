---@meta
-- Shapes; written by `make manual`: do not edit

---the size of dimension dim; without dim the list of all (a Lua list: its first place is 1)
---@param x Tensor
---@param dim? integer
---@return number|table size
---@overload fun(named: {x: Tensor, dim?: integer}): number|table
---@overload fun(x: Tensor, named: {dim?: integer}): number|table
---@nodiscard
function torch.size(x, dim) end

---the list of all sizes: local n, k = table.unpack(x:shape())
---@param x Tensor
---@return integer[] sizes
---@nodiscard
function torch.shape(x) end

---the number of dimensions
---@param x Tensor
---@return integer count
---@nodiscard
function torch.dim(x) end

---the number of elements
---@param x Tensor
---@return integer count
---@nodiscard
function torch.numel(x) end

---the same elements in another shape; one size may be -1
---@param x Tensor
---@param ... Dims size
---@return Tensor
---@nodiscard
function torch.view(x, ...) end

---like view, copies where it must
---@param x Tensor
---@param ... Dims size
---@return Tensor
---@nodiscard
function torch.reshape(x, ...) end

---x in other's shape
---@param x Tensor
---@param other Tensor
---@return Tensor
---@nodiscard
function torch.view_as(x, other) end

---dimensions start_dim … end_dim as one
---@param x Tensor
---@param start_dim? integer default 0
---@param end_dim? integer default -1
---@return Tensor
---@overload fun(named: {x: Tensor, start_dim?: integer, end_dim?: integer}): Tensor
---@overload fun(x: Tensor, named: {start_dim?: integer, end_dim?: integer}): Tensor
---@overload fun(x: Tensor, start_dim?: integer, named: {end_dim?: integer}): Tensor
---@nodiscard
function torch.flatten(x, start_dim, end_dim) end

---one dimension as several
---@param x Tensor
---@param dim integer
---@param sizes Dims
---@return Tensor
---@nodiscard
function torch.unflatten(x, dim, sizes) end

---dimensions in another order
---@param x Tensor
---@param ... Dims dims
---@return Tensor
---@nodiscard
function torch.permute(x, ...) end

---two dimensions swapped
---@param x Tensor
---@param dim0 integer
---@param dim1 integer
---@return Tensor
---@nodiscard
function torch.transpose(x, dim0, dim1) end

---a matrix transposed
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.t(x) end

---dimensions moved, the others in their order
---@param x Tensor
---@param source Dims
---@param destination Dims
---@return Tensor
---@nodiscard
function torch.movedim(x, source, destination) end

---a dimension of size 1 put in at dim
---@param x Tensor
---@param dim integer
---@return Tensor
---@nodiscard
function torch.unsqueeze(x, dim) end

---dimensions of size 1 taken out
---@param x Tensor
---@param dim? Dims
---@return Tensor
---@overload fun(named: {x: Tensor, dim?: Dims}): Tensor
---@overload fun(x: Tensor, named: {dim?: Dims}): Tensor
---@nodiscard
function torch.squeeze(x, dim) end

---dimensions of size 1 repeated without a copy; -1 keeps a size
---@param x Tensor
---@param ... Dims size
---@return Tensor
---@nodiscard
function torch.expand(x, ...) end

---x expanded to other's shape
---@param x Tensor
---@param other Tensor
---@return Tensor
---@nodiscard
function torch.expand_as(x, other) end

---the same as expand
---@param x Tensor
---@param ... Dims size
---@return Tensor
---@nodiscard
function torch.broadcast_to(x, ...) end

---a copy in order, if x is not
---@param x Tensor
---@return Tensor
---@nodiscard
function torch.contiguous(x) end

---repeated along each dimension (PyTorch's repeat, a Lua keyword)
---@param x Tensor
---@param ... Dims dims
---@return Tensor
---@nodiscard
function torch.tile(x, ...) end

---each element repeated
---@param x Tensor
---@param repeats integer
---@param dim? integer
---@return Tensor
---@overload fun(named: {x: Tensor, repeats: integer, dim?: integer}): Tensor
---@overload fun(x: Tensor, named: {repeats: integer, dim?: integer}): Tensor
---@overload fun(x: Tensor, repeats: integer, named: {dim?: integer}): Tensor
---@nodiscard
function torch.repeat_interleave(x, repeats, dim) end

---a list of tensors joined along dim
---@param tensors Tensor[]
---@param dim? integer default 0
---@return Tensor
---@overload fun(named: {tensors: Tensor[], dim?: integer}): Tensor
---@overload fun(tensors: Tensor[], named: {dim?: integer}): Tensor
---@nodiscard
function torch.cat(tensors, dim) end

---a list of tensors joined along a new dimension
---@param tensors Tensor[]
---@param dim? integer default 0
---@return Tensor
---@overload fun(named: {tensors: Tensor[], dim?: integer}): Tensor
---@overload fun(tensors: Tensor[], named: {dim?: integer}): Tensor
---@nodiscard
function torch.stack(tensors, dim) end

---about equal parts, as several results
---@param x Tensor
---@param chunks integer
---@param dim? integer default 0
---@return Tensor ... parts
---@overload fun(named: {x: Tensor, chunks: integer, dim?: integer}): Tensor ...
---@overload fun(x: Tensor, named: {chunks: integer, dim?: integer}): Tensor ...
---@overload fun(x: Tensor, chunks: integer, named: {dim?: integer}): Tensor ...
---@nodiscard
function torch.chunk(x, chunks, dim) end

---parts of a size (or of the sizes in a list), as several results
---@param x Tensor
---@param split_size Dims
---@param dim? integer default 0
---@return Tensor ... parts
---@overload fun(named: {x: Tensor, split_size: Dims, dim?: integer}): Tensor ...
---@overload fun(x: Tensor, named: {split_size: Dims, dim?: integer}): Tensor ...
---@overload fun(x: Tensor, split_size: Dims, named: {dim?: integer}): Tensor ...
---@nodiscard
function torch.split(x, split_size, dim) end

---the slices along dim, as several results
---@param x Tensor
---@param dim? integer default 0
---@return Tensor ... slices
---@overload fun(named: {x: Tensor, dim?: integer}): Tensor ...
---@overload fun(x: Tensor, named: {dim?: integer}): Tensor ...
---@nodiscard
function torch.unbind(x, dim) end

---reversed along dims
---@param x Tensor
---@param ... Dims dims
---@return Tensor
---@nodiscard
function torch.flip(x, ...) end

---shifted along dims, what leaves one end enters the other
---@param x Tensor
---@param shifts Dims
---@param dims? Dims
---@return Tensor
---@overload fun(named: {x: Tensor, shifts: Dims, dims?: Dims}): Tensor
---@overload fun(x: Tensor, named: {shifts: Dims, dims?: Dims}): Tensor
---@overload fun(x: Tensor, shifts: Dims, named: {dims?: Dims}): Tensor
---@nodiscard
function torch.roll(x, shifts, dims) end

---widened by pad = {before, after} of the last dimension, then of the one before it
---@param x Tensor
---@param pad integer[]
---@param value? number default 0
---@return Tensor
---@overload fun(named: {x: Tensor, pad: integer[], value?: number}): Tensor
---@overload fun(x: Tensor, named: {pad: integer[], value?: number}): Tensor
---@overload fun(x: Tensor, pad: integer[], named: {value?: number}): Tensor
---@nodiscard
function torch.pad(x, pad, value) end

---windows along a dimension, as a new last dimension
---@param x Tensor
---@param dimension integer
---@param size integer
---@param step integer
---@return Tensor
---@nodiscard
function torch.unfold(x, dimension, size, step) end

---the lower triangle, 0 elsewhere
---@param x Tensor
---@param diagonal? integer default 0
---@return Tensor
---@overload fun(named: {x: Tensor, diagonal?: integer}): Tensor
---@overload fun(x: Tensor, named: {diagonal?: integer}): Tensor
---@nodiscard
function torch.tril(x, diagonal) end

---the upper triangle, 0 elsewhere
---@param x Tensor
---@param diagonal? integer default 0
---@return Tensor
---@overload fun(named: {x: Tensor, diagonal?: integer}): Tensor
---@overload fun(x: Tensor, named: {diagonal?: integer}): Tensor
---@nodiscard
function torch.triu(x, diagonal) end

---the diagonal of a matrix, or a matrix with this diagonal
---@param x Tensor
---@param diagonal? integer default 0
---@return Tensor
---@overload fun(named: {x: Tensor, diagonal?: integer}): Tensor
---@overload fun(x: Tensor, named: {diagonal?: integer}): Tensor
---@nodiscard
function torch.diag(x, diagonal) end

---the diagonals of matrices, as a new last dimension
---@param x Tensor
---@param offset? integer default 0
---@param dim1? integer default 0
---@param dim2? integer default 1
---@return Tensor
---@overload fun(named: {x: Tensor, offset?: integer, dim1?: integer, dim2?: integer}): Tensor
---@overload fun(x: Tensor, named: {offset?: integer, dim1?: integer, dim2?: integer}): Tensor
---@overload fun(x: Tensor, offset?: integer, named: {dim1?: integer, dim2?: integer}): Tensor
---@overload fun(x: Tensor, offset?: integer, dim1?: integer, named: {dim2?: integer}): Tensor
---@nodiscard
function torch.diagonal(x, offset, dim1, dim2) end
