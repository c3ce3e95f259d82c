#include "trainer/loop/evaluation.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "trainer/eval/benchmarks.h"
#include "trainer/eval/token_file.h"
#include "trainer/loop/finished_run.h"
#include "trainer/loop/model_tokens.h"
#include "trainer/loop/subject.h"
#include "trainer/tokenizer/gpt2.h"

namespace bitloop::trainer {
namespace {

using nlohmann::json;

// Whether the model's tokens are GPT-2's; a run may have as many of another kind.
bool has_gpt2_tokens(const json& model, const ModelConfig& shape) {
  return shape.vocab_size == tokenizer::Gpt2::kSize && !has_byte_tokens(model);
}

// Benchmarks are texts. Gives them the model's own tokenizer, where it has one; whether its tokens
// can be told at all.
Result<bool> take_tokenizer(const json& model, const ModelConfig& shape, const std::string& file,
                            Benchmarks& benchmarks) {
  if (file.empty()) return has_gpt2_tokens(model, shape);
  BITLOOP_ASSIGN(tokens, model_tokens(model, shape, file, ""));
  benchmarks.set_tokenizer(std::move(tokens.tokenizer));
  return true;
}

std::unexpected<Error> no_texts(const json& model, const ModelConfig& shape) {
  if (model.contains("job"))
    return fail("bad_model",
                fmt::format("the run's model ({}) has no GPT-2 tokens: benchmarks are for models "
                            "that have",
                            model.at("job").at("preset").value("name", "?")));
  return fail(
      "bad_model",
      fmt::format("config.json: the model has {} tokens, but GPT-2's tokenizer {}, and there "
                  "is no tokenizer.json beside it",
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
  BITLOOP_ASSIGN(tokenizer_text, tokenizer_file(model));
  if (has_tokens) {
    const UniqueFd fd(job.at("tokens").at("fd").get<int>());
    tokens = TokenStream::from_descriptor(fd.get(), job.at("tokens").at("path"),
                                          shape ? shape->vocab_size : tokenizer::Gpt2::kSize);
  }
  return run_with_weights(
      job, model.at("weights"), shape ? &*shape : nullptr, records,
      [&](const MappedTensors& weights, const Machine&) -> Status {
        if (!shape && model.contains("packed"))
          return fail("bad_weights",
                      "does not say how its model was made: " + shape.error().message);
        if (!shape) return std::unexpected(shape.error());
        if (!tokens) return fail("bad_document", tokens.error().message);
        const bool has_tasks = !job.at("benchmarks").at("tasks").empty();
        BITLOOP_ASSIGN(knows_texts, take_tokenizer(model, *shape, tokenizer_text, benchmarks));
        if (has_tasks && !knows_texts) return no_texts(model, *shape);
        BITLOOP_ASSIGN(subject, load_subject(model, *shape, weights, records));
        records.send("model", {{"parameters", subject.model->parameter_count()}});
        BITLOOP_TRY(subject.model->quantize_weights(subject.context));
        if (has_tokens) {
          if (knows_texts) {
            BITLOOP_ASSIGN(tokenizer, benchmarks.tokenizer());
            tokens->set_lengths(token_lengths(*tokenizer));
          }
          BITLOOP_TRY(score_tokens(*subject.model, *tokens, subject.context,
                                   job.value("window", int64_t{0}),
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
