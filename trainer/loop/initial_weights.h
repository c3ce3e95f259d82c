// The model that quantisation-aware training begins with: a run's latent weights, a model of
// Hugging Face, or the values of a packed model, in files that the host opened (the job's
// `init_from`, docs/architecture.md).
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "harness/base/result.h"
#include "trainer/checkpoint/mapped_tensors.h"
#include "trainer/model/transformer.h"

namespace bitloop::trainer {

class InitialWeights {
 public:
  // Maps the files of `init_from` (null: none), whose descriptors are closed. Before system calls
  // are narrowed. Errors: "bad_job", those of files.
  static Result<InitialWeights> map(const nlohmann::json& init_from);

  // Fills the model, whose other parameters stay as they are. The files may be hostile, and a
  // packed model's candidate is loaded: after system calls are narrowed. Errors, as a sentence with
  // the model's name: "init_changed" (a file is another than the job says), "bad_weights" (no
  // model, a damaged one, another architecture or shape, a number that is not finite).
  Status load(Transformer& model) const;

 private:
  Result<MappedTensors> parse() const;

  nlohmann::json init_from_;
  std::vector<std::shared_ptr<const MappedFile>> files_;
};

}  // namespace bitloop::trainer
