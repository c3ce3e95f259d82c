#include "trainer/loop/initial_weights.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <optional>
#include <string>

#include "harness/base/fd.h"
#include "harness/base/sha256.h"
#include "lua/tensor/hadamard.h"
#include "trainer/checkpoint/huggingface.h"
#include "trainer/loop/packed_run.h"

namespace bitloop::trainer {
namespace {

using nlohmann::json;

std::unexpected<Error> bad(std::string message) { return fail("bad_weights", std::move(message)); }

// Rows of a table of tokens that only training has may be missing.
bool fits(const std::string& name, const at::Tensor& from, const at::Tensor& to, int64_t vocab) {
  if (from.sizes() == to.sizes()) return true;
  const bool table =
      name == "wte.weight" || name == "lm_head.weight" || name == "model.embed_tokens.weight";
  return table && from.dim() == 2 && from.size(1) == to.size(1) && from.size(0) == vocab;
}

Status copy(const std::string& name, const at::Tensor& from, const at::Tensor& to, int64_t vocab) {
  if (!fits(name, from, to, vocab))
    return bad(fmt::format("has '{}' as {}, but the preset's model makes it {}: another shape",
                           name, fmt::join(from.sizes(), " x "), fmt::join(to.sizes(), " x ")));
  if (!at::isfinite(from).all().item<bool>())
    return bad(fmt::format("holds a number in '{}' that is not finite", name));
  to.detach().narrow(0, 0, from.size(0)).copy_(from);
  return {};
}

// The weights whose values are what the packed model's layers compute with.
Status use_values(Run& run) {
  if (run.quantizer->has("input"))
    return bad(
        "is a packed model whose quantizer has `input`, a change of what layers read that no "
        "weight can stand for: name the run's folder");
  const int64_t hadamard = run.quantizer->format().hadamard_block;
  for (BitLinear* layer : run.model->bitlinears()) {
    if (!layer->stored) continue;
    // Its own inverse. A tied head's latent weight is the embedding, which the file has.
    const at::Tensor value = layer->stored->value.contiguous();
    layer->weight = hadamard > 0 ? lua::block_hadamard(value, hadamard) : value;
    if (!layer->stored_row_bias.defined()) continue;
    if (!layer->bias.defined())
      return bad("is a packed model with row_bias, but the preset's layers have no biases");
    layer->bias.detach().add_(layer->stored_row_bias);
  }
  return {};
}

Status load_packed_values(const MappedTensors& tensors, Transformer& model) {
  const Records nobody(-1, "");
  const auto run = load_packed_run(tensors, nobody);
  if (!run)
    return bad(run.error().code == "bad_weights" ? run.error().message
                                                 : "can't be used: " + run.error().message);
  if (const std::string other = model_difference((*run)->job.model, model.config()); !other.empty())
    return bad("is another model than the preset's: " + other);
  BITLOOP_TRY(use_values(**run));
  const auto from = (*run)->model->named_parameters(), to = model.named_parameters();
  for (size_t i = 0; i < to.size(); ++i)
    BITLOOP_TRY(copy(to[i].first, from.at(i).second, to[i].second, model.config().vocab_size));
  return {};
}

Status load_run(const MappedTensors& tensors, Transformer& model) {
  for (const auto& [name, parameter] : model.named_parameters()) {
    if (!tensors.has(name))
      return bad(
          fmt::format("is of another architecture: it has no '{}', which the preset's {} has", name,
                      model.config().architecture));
    BITLOOP_ASSIGN(stored, tensors.get(name));
    BITLOOP_TRY(copy(name, stored, parameter, parameter.size(0)));
  }
  return {};
}

Status load_from_huggingface(const json& config, const MappedTensors& tensors, Transformer& model) {
  auto shape = read_huggingface_config(config);
  if (!shape) return bad("can't be used: " + shape.error().message);
  if (const std::string other = model_difference(*shape, model.config()); !other.empty())
    return bad("is another model than the preset's: " + other);
  Transformer given = Transformer::empty(*shape, false);
  BITLOOP_TRY(load_huggingface(tensors, given));
  const auto from = given.named_parameters(), to = model.named_parameters();
  for (size_t i = 0; i < to.size(); ++i)
    BITLOOP_TRY(copy(to[i].first, from.at(i).second, to[i].second, shape->vocab_size));
  return {};
}

}  // namespace

Result<InitialWeights> InitialWeights::map(const json& init_from) {
  InitialWeights weights;
  if (init_from.is_null()) return weights;
  try {
    for (const json& file : init_from.at("files")) {
      const UniqueFd fd(file.at("fd").get<int>());
      BITLOOP_ASSIGN(mapped, MappedFile::map(fd.get()));
      weights.files_.push_back(std::move(mapped));
    }
    for (const char* name : {"path", "kind"}) (void)init_from.at(name).get<std::string>();
  } catch (const json::exception& error) {
    return fail("bad_job", fmt::format("init_from can't be read: {}", error.what()));
  }
  weights.init_from_ = init_from;
  return weights;
}

Result<MappedTensors> InitialWeights::parse() const {
  MappedTensors all;
  for (size_t i = 0; i < files_.size(); ++i) {
    const json& file = init_from_.at("files").at(i);
    Sha256 digest;
    digest.add(files_[i]->data(), files_[i]->size());
    if (digest.finish() != file.at("sha256").get<std::string>())
      return fail("init_changed",
                  fmt::format("is another file than when the run was made ({} was changed since): "
                              "test again",
                              file.at("path").get<std::string>()));
    BITLOOP_ASSIGN(part, MappedTensors::parse(files_[i]));
    BITLOOP_TRY(all.add(std::move(part)));
  }
  return all;
}

Status InitialWeights::load(Transformer& model) const {
  if (init_from_.is_null()) return {};
  const at::NoGradGuard no_grad;
  const auto work = [&]() -> Status {
    BITLOOP_ASSIGN(tensors, parse());
    if (init_from_.at("kind") == "huggingface")
      return load_from_huggingface(init_from_.value("config", json()), tensors, model);
    return tensors.metadata().contains("bitloop") ? load_packed_values(tensors, model)
                                                  : load_run(tensors, model);
  };
  const Status done = work();
  if (done) return {};
  return fail(done.error().code,
              fmt::format("init_from: {} {}", init_from_.at("path").get<std::string>(),
                          done.error().message));
}

}  // namespace bitloop::trainer
