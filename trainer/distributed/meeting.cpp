#include "trainer/distributed/meeting.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <new>
#include <unordered_set>

#include "trainer/checkpoint/checkpoint.h"
#include "trainer/failure.h"

namespace bitloop::trainer {
namespace {

using nlohmann::json;

// What a rank tells of a step. The loss goes as its bits: JSON has no NaN.
json report(const Result<double>& loss) {
  if (loss) return {{"loss", std::bit_cast<uint64_t>(*loss)}};
  return {{"code", loss.error().code}, {"message", loss.error().message.substr(0, 2000)}};
}

std::string text_of(const json& document) {
  return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::unexpected<Error> unreadable(size_t rank) {
  return fail("infrastructure", fmt::format("what rank {} says can't be read", rank));
}

// All tensors in which a step's backward passes leave a gradient, each once, in a fixed order.
std::vector<at::Tensor> leaves(Run& run) {
  std::vector<at::Tensor> all;
  std::unordered_set<const at::TensorImpl*> seen;
  const auto add = [&](const at::Tensor& tensor) {
    if (tensor.defined() && seen.insert(tensor.unsafeGetTensorImpl()).second) all.push_back(tensor);
  };
  for (BitLinear* layer : run.model->bitlinears()) {
    add(layer->used_weight);
    add(layer->row_bias);
  }
  for (const auto& [name, tensor] : run.model->named_parameters()) add(tensor);
  for (const AdamW::Slot& slot : run.quantizer_slots) add(slot.parameter);
  return all;
}

// One character a leaf: whether it has a gradient.
std::string which_have(const std::vector<at::Tensor>& tensors) {
  std::string bits;
  for (const at::Tensor& tensor : tensors) bits += tensor.grad().defined() ? '1' : '0';
  return bits;
}

// The gradients that any rank has, each once, contiguous, with zeros where this one has none: a
// function may use a parameter for some inputs only. But for those that are sums by now.
std::vector<at::Tensor> gradients(const std::vector<at::Tensor>& tensors, const std::string& any,
                                  const EarlySums* early) {
  std::vector<at::Tensor> all;
  std::unordered_set<const at::TensorImpl*> seen;  // a bias and a row bias may share one
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (any[i] != '1') continue;
    at::Tensor& gradient = tensors[i].mutable_grad();
    gradient = gradient.defined() ? gradient.contiguous()
                                  : at::zeros_like(tensors[i].detach(), at::kFloat);
    if (early != nullptr && early->has(gradient)) continue;
    if (seen.insert(gradient.unsafeGetTensorImpl()).second) all.push_back(gradient);
  }
  return all;
}

// A number that depends on every bit of the tensor, made where the tensor is.
int64_t bits_of(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.detach().contiguous().view({-1});
  const bool words = flat.element_size() == 4;
  return flat.view(words ? at::kInt : at::kByte).sum(at::kLong).item<int64_t>();
}

std::string weights_digest(Run& run) {
  uint64_t digest = 14695981039346656037ULL;  // FNV-1a, a word at a time
  for (const auto& [name, tensor] : run.state_tensors())
    digest = (digest ^ static_cast<uint64_t>(bits_of(tensor))) * 1099511628211ULL;
  return fmt::format("{:016x}", digest);
}

}  // namespace

bool is_first(const Run& run) { return !run.ranks || run.ranks->first(); }

Result<double> caught(const std::function<Result<double>()>& body) {
  try {
    return body();
  } catch (const std::exception& error) {
    return std::unexpected(failure_of(error));
  }
}

Result<double> add_up(Run& run, const Result<double>& loss, EarlySums* early) {
  // Whatever it was, this rank can't go on with the others, and says so as it ends.
  if (early != nullptr)
    if (const Status summed = early->finish(); !summed)
      return fail("infrastructure", summed.error().message);
  const std::vector<at::Tensor> all = leaves(run);
  std::string any = which_have(all);
  json mine = report(loss);
  mine["gradients"] = any;
  BITLOOP_ASSIGN(said, run.ranks->exchange(text_of(mine)));
  double sum = 0.0;
  for (size_t rank = 0; rank < said.size(); ++rank) {
    const json theirs = json::parse(said[rank], nullptr, false);
    if (!theirs.is_object()) return unreadable(rank);
    if (theirs.contains("code")) return fail(theirs.value("code", ""), theirs.value("message", ""));
    sum += std::bit_cast<double>(theirs.value("loss", uint64_t{0}));
    const std::string have = theirs.value("gradients", "");
    if (have.size() != any.size()) return unreadable(rank);
    for (size_t i = 0; i < any.size(); ++i)
      if (have[i] == '1') any[i] = '1';
  }
  const at::NoGradGuard no_grad;
  BITLOOP_TRY(run.ranks->sum(gradients(all, any, early)));
  return sum;
}

Result<bool> all_sum_early(Run& run) {
  const size_t groups = run.fused ? run.fused->early_gradients().size() : 0;
  const std::string mine = fmt::format("{} groups of early gradients", groups);
  BITLOOP_ASSIGN(said, run.ranks->exchange(mine));
  return groups > 0 &&
         std::ranges::all_of(said, [&](const auto& theirs) { return theirs == mine; });
}

Status same_job(Run& run) {
  BITLOOP_ASSIGN(digests, run.ranks->exchange(run_digest(run.job)));
  for (size_t rank = 1; rank < digests.size(); ++rank)
    if (digests[rank] != digests[0])
      return fail("infrastructure",
                  fmt::format("rank {} was started with another candidate, preset or seed than "
                              "rank 0; give all of them the same command",
                              rank));
  return {};
}

Status same_weights(Run& run, int64_t step) {
  BITLOOP_ASSIGN(digests, run.ranks->exchange(weights_digest(run)));
  for (size_t rank = 1; rank < digests.size(); ++rank) {
    if (digests[rank] == digests[0]) continue;
    BITLOOP_TRY(check_variables(run));
    return fail("infrastructure",
                fmt::format("after {} steps rank {} has other weights than rank 0, though all made "
                            "the same updates: the machines or the candidate's functions do not "
                            "compute the same everywhere",
                            step, rank));
  }
  return {};
}

Status share_state(Run& run, AdamW& optimizer, Progress& progress) {
  const json mine = {{"steps", progress.steps}, {"updates", optimizer.steps_done()}};
  BITLOOP_ASSIGN(said, run.ranks->exchange(text_of(mine)));
  const json first = json::parse(said[0], nullptr, false);
  if (!first.is_object() || !first.contains("steps")) return unreadable(0);
  progress.steps = first.value("steps", int64_t{0});
  optimizer.set_steps_done(first.value("updates", int64_t{0}));
  if (progress.steps == 0) return {};
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> tensors, contiguous;
  for (const auto& [name, tensor] : run.state_tensors()) tensors.push_back(tensor.detach());
  for (const auto& [name, tensor] : optimizer.moments()) tensors.push_back(tensor);
  for (const at::Tensor& tensor : tensors) contiguous.push_back(tensor.contiguous());
  BITLOOP_TRY(run.ranks->broadcast(contiguous));
  for (size_t i = 0; i < tensors.size(); ++i)
    if (!tensors[i].is_same(contiguous[i])) tensors[i].copy_(contiguous[i]);
  return {};
}

}  // namespace bitloop::trainer
