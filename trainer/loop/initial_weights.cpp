#include "trainer/loop/initial_weights.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <optional>
#include <string>

#include "harness/base/fd.h"
#include "harness/base/sha256.h"
#include "trainer/checkpoint/huggingface.h"

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
  if (all.metadata().contains("bitloop"))
    return bad("is a packed model, which has no latent weights to train: name the run's folder");
  return all;
}

Status InitialWeights::load(Transformer& model) const {
  if (init_from_.is_null()) return {};
  const at::NoGradGuard no_grad;
  const auto work = [&]() -> Status {
    BITLOOP_ASSIGN(tensors, parse());
    if (init_from_.at("kind") == "huggingface")
      return load_from_huggingface(init_from_.value("config", json()), tensors, model);
    return load_run(tensors, model);
  };
  const Status done = work();
  if (done) return {};
  return fail(done.error().code,
              fmt::format("init_from: {} {}", init_from_.at("path").get<std::string>(),
                          done.error().message));
}

}  // namespace bitloop::trainer
