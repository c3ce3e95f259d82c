#include "lua/tensor/other_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "lua/tensor/operation.h"

namespace bitloop::lua {

namespace {

using Name = std::pair<std::string_view, std::string_view>;

constexpr Name kElsewhere[] = {
    // PyTorch's other names
    {"absolute", "use abs"},
    {"clip", "use clamp"},
    {"hardtanh", "use clamp"},
    {"relu6", "use clamp{min = 0, max = 6}"},
    {"multiply", "use mul or *"},
    {"divide", "use div or /"},
    {"true_divide", "use div or /"},
    {"subtract", "use sub or -"},
    {"rsub", "use sub or -"},
    {"negative", "use neg or -x"},
    {"positive", "it changes nothing"},
    {"float_power", "use pow or ^"},
    {"greater", "use gt"},
    {"greater_equal", "use ge"},
    {"less", "use lt"},
    {"less_equal", "use le"},
    {"not_equal", "use ne"},
    {"fix", "use trunc"},
    {"arcsin", "use asin"},
    {"arccos", "use acos"},
    {"arctan", "use atan"},
    {"arctan2", "use atan2"},
    {"arcsinh", "use asinh"},
    {"arccosh", "use acosh"},
    {"arctanh", "use atanh"},
    {"special_erf", "use erf"},
    {"bitwise_and", "use logical_and"},
    {"bitwise_or", "use logical_or"},
    {"bitwise_xor", "use logical_xor"},
    {"bitwise_not", "use logical_not"},
    {"concatenate", "use torch.cat"},
    {"concat", "use torch.cat"},
    {"hstack", "use torch.cat"},
    {"vstack", "use torch.cat"},
    {"dstack", "use torch.cat"},
    {"column_stack", "use torch.stack"},
    {"row_stack", "use torch.cat"},
    {"hsplit", "use split"},
    {"vsplit", "use split"},
    {"tensor_split", "use split"},
    {"repeat", "it is a Lua keyword: use tile"},
    {"swapaxes", "use transpose"},
    {"swapdims", "use transpose"},
    {"moveaxis", "use movedim"},
    {"ravel", "use flatten"},
    {"reshape_as", "use view_as"},
    {"fliplr", "use flip(1)"},
    {"flipud", "use flip(0)"},
    {"adjoint", "use transpose(-1, -2)"},
    {"T", "use t()"},
    {"mT", "use transpose(-1, -2)"},
    {"H", "use t()"},
    {"msort", "use sort(0)"},
    {"unique", "use sort and ne"},
    {"unique_consecutive", "use ne between neighbours"},
    {"nonzero", "its shape would depend on the numbers: use torch.where or sort"},
    {"argwhere", "its shape would depend on the numbers: use torch.where or sort"},
    {"masked_select", "its shape would depend on the numbers: use torch.where"},
    {"masked_scatter", "use torch.where or scatter"},
    {"index_copy", "use scatter"},
    {"index_fill", "use scatter"},
    {"index_put", "use scatter"},
    {"put", "use scatter"},
    {"scatter_reduce", "use scatter_add"},
    {"index_reduce", "use index_add"},
    {"einsum", "use matmul, permute and sum"},
    {"tensordot", "use matmul, permute and sum"},
    {"inner", "use dot or matmul"},
    {"vdot", "use dot"},
    {"ger", "use outer"},
    {"linalg", "use norm, matmul and cdist"},
    {"special", "use the same name in torch"},
    {"nn", "use the same name in torch: torch.softplus"},
    {"functional", "use the same name in torch: torch.softplus"},
    {"new_zeros", "use torch.zeros"},
    {"new_ones", "use torch.ones"},
    {"new_full", "use torch.full"},
    {"new_tensor", "use torch.tensor"},
    {"empty", "use torch.zeros"},
    {"empty_like", "use torch.zeros_like"},
    {"scalar_tensor", "use torch.tensor"},
    {"as_tensor", "use torch.tensor"},
    {"from_numpy", "use torch.tensor"},
    {"fill", "use torch.full_like"},
    {"zero", "use torch.zeros_like"},
    {"to", "use float, int or bool; tensors stay on their device"},
    {"double", "tensors are float32"},
    {"half", "tensors are float32; scales are rounded to scale_dtype outside"},
    {"bfloat16", "tensors are float32; scales are rounded to scale_dtype outside"},
    {"long", "use int"},
    {"short", "use int"},
    {"byte", "use int"},
    {"cpu", "tensors stay on their device"},
    {"cuda", "tensors stay on their device"},
    {"device", "tensors stay on their device"},
    {"data", "use detach()"},
    {"grad", "gradients are for bitloop.autograd"},
    {"backward", "gradients are for bitloop.autograd"},
    {"no_grad", "use detach()"},
    {"autograd", "use bitloop.autograd"},
    {"requires_grad_", "parameters come from Q.init"},
    {"numpy", "use tolist"},
    {"save", "there are no files here"},
    {"load", "there are no files here"},
    // NumPy's
    {"array", "use torch.tensor"},
    {"asarray", "use torch.tensor"},
    {"ndarray", "use torch.tensor"},
    {"astype", "use float, int or bool"},
    {"copy", "use clone"},
    {"ndim", "use dim"},
    {"expand_dims", "use unsqueeze"},
    {"power", "use pow or ^"},
    {"mod", "use remainder or %"},
    {"average", "use mean"},
    {"ptp", "use aminmax"},
    {"percentile", "use quantile, with q from 0 to 1"},
    {"nanpercentile", "use nanquantile, with q from 0 to 1"},
    {"around", "use round"},
    {"rint", "use round"},
    {"fabs", "use abs"},
    {"digitize", "use bucketize"},
    {"cumulative_sum", "use cumsum"},
    {"matrix_multiply", "use matmul"},
    {"invert", "use logical_not"},
    {"select_along_axis", "use take_along_dim"},
    {"take_along_axis", "use take_along_dim"},
    {"argpartition", "use topk"},
    {"partition", "use topk or kthvalue"},
    {"histogram", "use histc"},
    {"resize", "use reshape"},
    {"apply_along_axis", "use sum, amax and others with dim"},
    // Torch7's
    {"Tensor", "use torch.tensor or torch.zeros"},
    {"FloatTensor", "use torch.tensor or torch.zeros"},
    {"DoubleTensor", "use torch.tensor or torch.zeros"},
    {"LongTensor", "use torch.tensor and int"},
    {"IntTensor", "use torch.tensor and int"},
    {"ByteTensor", "use torch.tensor and bool"},
    {"CudaTensor", "use torch.tensor; tensors stay on their device"},
    {"cmul", "use mul or *"},
    {"cdiv", "use div or /"},
    {"cadd", "use add or +"},
    {"csub", "use sub or -"},
    {"cpow", "use pow or ^"},
    {"cmax", "use maximum"},
    {"cmin", "use minimum"},
    {"cinv", "use reciprocal"},
    {"cmod", "use fmod"},
    {"cfmod", "use fmod"},
    {"cremainder", "use remainder or %"},
    {"nElement", "use numel"},
    {"nDimension", "use dim"},
    {"ndimension", "use dim"},
    {"range", "use torch.arange, whose end is left out"},
    {"expandAs", "use expand_as"},
    {"viewAs", "use view_as"},
    {"typeAs", "use type_as"},
    {"repeatTensor", "use tile"},
    {"maskedFill", "use masked_fill"},
    {"maskedSelect", "its shape would depend on the numbers: use torch.where"},
    {"maskedCopy", "use torch.where"},
    {"indexAdd", "use index_add"},
    {"indexCopy", "use scatter"},
    {"indexFill", "use scatter"},
    {"isContiguous", "use contiguous"},
    {"isSameSizeAs", "use shape"},
    {"resizeAs", "use view_as"},
    {"storage", "use tolist"},
    {"type", "use dtype"},
    {"apply", "use torch.where and elementwise operations"},
    {"map", "use torch.where and elementwise operations"},
    {"max_all", "use amax"},
    {"size_average", "use mean"},
    // Randomness
    {"rand", "there is no randomness here: results must repeat"},
    {"randn", "there is no randomness here: results must repeat"},
    {"randint", "there is no randomness here: results must repeat"},
    {"rand_like", "there is no randomness here: results must repeat"},
    {"randn_like", "there is no randomness here: results must repeat"},
    {"randperm", "there is no randomness here: results must repeat"},
    {"random", "there is no randomness here: results must repeat"},
    {"bernoulli", "there is no randomness here: results must repeat"},
    {"multinomial", "there is no randomness here: results must repeat"},
    {"normal", "there is no randomness here: results must repeat"},
    {"uniform", "there is no randomness here: results must repeat"},
    {"exponential", "there is no randomness here: results must repeat"},
    {"dropout", "there is no randomness here: results must repeat"},
    {"manual_seed", "there is no randomness here: results must repeat"},
    {"seed", "there is no randomness here: results must repeat"},
    {"Generator", "there is no randomness here: results must repeat"},
};

constexpr Name kArguments[] = {
    {"axis", "dim"},
    {"axes", "dim"},
    {"keepdims", "keepdim"},
    {"a_min", "min"},
    {"a_max", "max"},
    {"min_val", "min"},
    {"max_val", "max"},
    {"shape", "size"},
    {"ddof", "correction"},
    {"unbiased", "correction"},
    {"input", "x"},
    {"method", "interpolation"},
    {"pad_width", "pad"},
    {"repeats", "dims"},
    {"indices", "index"},
    {"exponents", "exponent"},
    {"descend", "descending"},
};
constexpr Name kArgumentsNowhere[] = {
    {"dtype", "tensors are float32: use x:int() or x:bool()"},
    {"device", "tensors stay on their device"},
    {"out", "nothing works in place"},
    {"inplace", "nothing works in place"},
    {"requires_grad", "parameters come from Q.init"},
    {"generator", "there is no randomness here"},
    {"stable", "sorting always is"},
};

std::string_view look_up(std::span<const Name> names, std::string_view name) {
  for (const auto& [other, hint] : names)
    if (other == name) return hint;
  return {};
}

}  // namespace

std::span<const Name> other_names() { return kElsewhere; }

std::string suggest_operation(std::string_view name) {
  if (const std::string_view hint = look_up(kElsewhere, name); !hint.empty())
    return std::string(hint);
  const auto has_name = [](std::string_view wanted) {
    return [wanted](const BoundOperation& bound) { return bound.name == wanted; };
  };
  if (name.size() > 1 && name.ends_with('_')) {
    const std::string_view base = name.substr(0, name.size() - 1);
    if (std::ranges::any_of(bound_operations(), has_name(base)))
      return fmt::format("nothing works in place: use x = x:{}(…)", base);
    const std::string hint = suggest_operation(base);
    return "nothing works in place" + (hint.empty() ? "" : ": " + hint);
  }
  std::vector<std::string_view> names;
  for (const BoundOperation& bound : bound_operations()) names.push_back(bound.name);
  const std::string best = nearest(name, names);
  if (best.empty()) return "";
  const Form forms = std::ranges::find_if(bound_operations(), has_name(best))->operation->forms;
  if (forms & kBitloop) return fmt::format("did you mean bitloop.{}?", best);
  if (!(forms & kMethod)) return fmt::format("did you mean torch.{}?", best);
  return fmt::format("did you mean '{}'?", best);
}

std::string suggest_argument(std::string_view name, const Signature& operation) {
  std::vector<std::string_view> names;
  for (const Parameter& parameter : operation.parameters) names.push_back(parameter.name);
  if (const std::string_view hint = look_up(kArgumentsNowhere, name); !hint.empty())
    return std::string(hint);
  std::string best(look_up(kArguments, name));
  if (std::ranges::find(names, best) == names.end()) best = nearest(name, names);
  return best.empty() ? "" : fmt::format("did you mean '{}'?", best);
}

}  // namespace bitloop::lua
