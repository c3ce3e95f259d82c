---@meta
-- The type Tensor: its operators. Its methods are in tensor/, the functions in torch/ and bitloop/.

---A tensor or a number: what an element-by-element operation takes.
---@alias Operand Tensor|number
---One dimension or size, or a list of them. Dimensions count from 0, or from the end when negative.
---@alias Dims integer|integer[]

---Numbers in a grid: float32, or bool and int64 where an operation gives them. Nothing changes a
---tensor in place. `x[i]` is the i-th slice along dimension 0, counted from 0. `<`, `<=`, `>`, `>=` and `==`
---need one-element tensors; element by element there are lt, le, gt, ge and eq.
---@class Tensor
---@field [integer] Tensor
---@operator add(Operand): Tensor
---@operator sub(Operand): Tensor
---@operator mul(Operand): Tensor
---@operator div(Operand): Tensor
---@operator idiv(Operand): Tensor
---@operator mod(Operand): Tensor
---@operator pow(Operand): Tensor
---@operator unm: Tensor

---PyTorch's functions, with PyTorch's names, arguments and defaults.
---@class torch
torch = {}

---What quantizers need and PyTorch has not.
---@class bitloop
bitloop = {}
