#include "trainer/loop/evaluation.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "trainer/eval/benchmarks.h"
#include "trainer/eval/token_file.h"
#include "trainer/loop/finished_run.h"
#include "trainer/loop/subject.h"

namespace bitloop::trainer {
namespace {

using nlohmann::json;

// Whether the model's tokens are GPT-2's; a run may have as many of another kind.
bool has_gpt2_tokens(const json& model, const ModelConfig& shape) {
  return shape.vocab_size == tokenizer::Gpt2::kSize && !has_byte_tokens(model);
}

// Benchmarks are texts.
Status check_tokens(const json& model, const ModelConfig& shape) {
  if (has_gpt2_tokens(model, shape)) return {};
  if (model.contains("job"))
    return fail("bad_model",
                fmt::format("the run's model ({}) has no GPT-2 tokens: benchmarks are for models "
                            "that have",
                            model.at("job").at("preset").value("name", "?")));
  return fail("bad_model",
              fmt::format("config.json: the model has {} tokens, but GPT-2's tokenizer {}",
                          shape.vocab_size, tokenizer::Gpt2::kSize));
}

}  // namespace

Status evaluate_benchmarks(const json& job, const Records& records) {
  const json& model = job.at("model");
  BITLOOP_ASSIGN(benchmarks, Benchmarks::open(job.at("benchmarks")));
  const Result<ModelConfig> shape = shape_of(model);
  // Mapped now, because a jail lets no file be mapped later.
  Result<TokenStream> tokens;
  const bool has_tokens = job.contains("tokens");
  if (has_tokens) {
    const UniqueFd fd(job.at("tokens").at("fd").get<int>());
    tokens = TokenStream::from_descriptor(fd.get(), job.at("tokens").at("path"),
                                          shape ? shape->vocab_size : tokenizer::Gpt2::kSize);
  }
  return run_with_weights(
      job, model.at("weights"), shape ? &*shape : nullptr, records,
      [&](const MappedTensors& weights) -> Status {
        if (!shape && model.contains("packed"))
          return fail("bad_weights",
                      "does not say how its model was made: " + shape.error().message);
        if (!shape) return std::unexpected(shape.error());
        if (!tokens) return fail("bad_document", tokens.error().message);
        const bool has_tasks = !job.at("benchmarks").at("tasks").empty();
        if (has_tasks) BITLOOP_TRY(check_tokens(model, *shape));
        BITLOOP_ASSIGN(subject, load_subject(model, *shape, weights, records));
        records.send("model", {{"parameters", subject.model->parameter_count()}});
        BITLOOP_TRY(subject.model->quantize_weights(subject.context));
        if (has_tokens) {
          if (has_gpt2_tokens(model, *shape)) {
            BITLOOP_ASSIGN(tokenizer, benchmarks.tokenizer());
            tokens->set_lengths(token_lengths(*tokenizer));
          }
          BITLOOP_TRY(score_tokens(*subject.model, *tokens, subject.context,
                                   job.at("benchmarks").at("limit"), records));
        }
        if (!has_tasks) return {};
        BenchmarkOptions options;
        options.skip = job.at("skip_missing");
        const auto scores = benchmarks.run(*subject.model, subject.context, options, records);
        return scores ? Status() : std::unexpected(scores.error());
      });
}

}  // namespace bitloop::trainer
