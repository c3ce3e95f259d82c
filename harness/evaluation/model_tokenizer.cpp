#include "harness/evaluation/model_tokenizer.h"

#include <fmt/format.h>

#include "harness/base/fd.h"
#include "harness/base/paths.h"
#include "harness/tasks/benchmarks.h"
#include "trainer/tokenizer/gpt2.h"
#include "trainer/tokenizer/huggingface.h"
#include "trainer/tokenizer/tokenizer_file.h"

namespace bitloop::evaluation {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxTokenizer = size_t{128} << 20;
constexpr int kMostRuns = 16;  // that began with one another

bool has_bytes(const Json& job) { return job.at("preset").at("data").at("format") == "bytes"; }

// The job of the run whose weights that file is.
Json job_beside(const fs::path& weights) {
  auto job = run_job(weights.parent_path().parent_path());
  return job ? std::move(*job) : Json();
}

// The init_from of the run that began with Hugging Face's model; null where none did.
Json origin_of(Json job) {
  try {
    for (int i = 0; i < kMostRuns && job.is_object(); ++i) {
      const Json from = job.value("init_from", Json());
      if (!from.is_object() || from.at("kind") == "huggingface") return from;
      job = job_beside(from.at("files").at(0).at("file").get<std::string>());
    }
  } catch (const Json::exception&) {
  }
  return nullptr;
}

Status check_size(int64_t tokens, const Json& job) {
  const int64_t vocabulary = job.at("preset").at("model").at("vocab_size");
  if (tokens <= vocabulary) return {};
  return fail("wrong_usage",
              fmt::format("tokenizer.json has {} tokens, but the model {}: they don't belong "
                          "together; --tokenizer names another",
                          tokens, vocabulary));
}

Result<TokenizerFiles> files_of(const Json& job, const fs::path& given) {
  TokenizerFiles files;
  Json settings = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                   {"model_max_length", job.at("preset").at("model").at("context")},
                   {"clean_up_tokenization_spaces", false}};
  files.ends = {{"bos_token_id", nullptr}, {"eos_token_id", nullptr}};
  std::error_code ignored;
  const fs::path named = given.empty()                      ? origin_tokenizer(job)
                         : fs::is_directory(given, ignored) ? given / kTokenizer
                                                            : given;
  if (!named.empty()) {
    auto text = read_file(named, kMaxTokenizer);
    if (!text) return fail("wrong_usage", "--tokenizer: " + text.error().message);
    const auto read = tokenizer::HuggingFace::parse(*text);
    if (!read && given.empty() &&
        !Json::parse(*text, nullptr, /*allow_exceptions=*/false).is_object())
      return fail("wrong_usage", named.string() + " is no tokenizer: --tokenizer names another");
    // One that was not given is what the model came with, whether bitloop reads it or not.
    if (read) BITLOOP_TRY(check_size((*read)->size(), job));
    if (!read && !given.empty())
      return fail("wrong_usage",
                  fmt::format("--tokenizer: {}: {}", named.string(), read.error().message));
    const Json origin = origin_of(job);
    const Json config = origin.is_object() ? origin.value("config", Json()) : Json();
    for (auto& [name, token] : files.ends.items())
      if (config.is_object() && config.contains(name)) token = config.at(name);
    files.tokenizer = std::move(*text);
    files.settings = settings.dump(1) + "\n";
    return files;
  }
  if (has_bytes(job)) {
    files.tokenizer = tokenizer::tokenizer_file_of_bytes();
  } else if (origin_of(job).is_null() &&
             job.at("preset").at("model").at("vocab_size") == tokenizer::Gpt2::kSize) {
    const fs::path merges = tasks::benchmark_vocabulary(share_dir());
    BITLOOP_ASSIGN(text, read_file(merges));
    BITLOOP_ASSIGN(made, tokenizer::tokenizer_file_of_gpt2(text, merges.string()));
    files.tokenizer = std::move(made);
    settings["bos_token"] = settings["eos_token"] = "<|endoftext|>";
    for (auto& [name, token] : files.ends.items()) token = tokenizer::Gpt2::kEndOfText;
  }
  files.settings = settings.dump(1) + "\n";
  return files;
}

}  // namespace

fs::path origin_tokenizer(const Json& job) {
  try {
    const Json origin = has_bytes(job) ? Json() : origin_of(job);
    if (!origin.is_object()) return {};
    const fs::path weights(origin.at("files").at(0).at("file").get<std::string>());
    const fs::path beside = weights.parent_path() / kTokenizer;
    std::error_code ignored;
    return fs::is_regular_file(beside, ignored) ? beside : fs::path();
  } catch (const Json::exception&) {
    return {};
  }
}

Result<TokenizerFiles> tokenizer_files(const Json& job, const fs::path& given) {
  try {
    return files_of(job, given);
  } catch (const Json::exception&) {
    return fail("wrong_usage", "the model's job is not a training run's");
  }
}

}  // namespace bitloop::evaluation
