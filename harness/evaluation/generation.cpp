#include "harness/evaluation/generation.h"

#include "harness/base/paths.h"
#include "harness/tasks/benchmarks.h"

namespace bitloop::evaluation {

Result<Json> generate(const GenerationRequest& request,
                      const std::function<void(size_t prompt, std::string_view text)>& text) {
  Files files;
  BITLOOP_ASSIGN(model, model_of(request.model, files));
  if (!request.tokenizer.empty()) {
    std::error_code ignored;
    auto tokenizer = files.open(std::filesystem::is_directory(request.tokenizer, ignored)
                                    ? request.tokenizer / kTokenizer
                                    : request.tokenizer,
                                kTokenizer);
    if (!tokenizer) return fail("wrong_usage", "--tokenizer: " + tokenizer.error().message);
    model["tokenizer"] = *tokenizer;
  }
  BITLOOP_ASSIGN(vocabulary, files.open(tasks::benchmark_vocabulary(share_dir()), "vocab.bpe"));
  Json job = {{"schema_version", 1},
              {"kind", "generate"},
              {"device", request.device},
              {"model", model},
              {"vocabulary", vocabulary},
              {"prompts", request.prompts},
              {"options",
               {{"max_new_tokens", request.max_new_tokens},
                {"temperature", request.temperature},
                {"top_k", request.top_k},
                {"top_p", request.top_p},
                {"seed", request.seed},
                {"ignore_end", request.ignore_end},
                {"benchmark", request.benchmark}}}};
  BITLOOP_ASSIGN(process, shell::Process::start(std::move(job), files.fds(),
                                                {.threads = request.threads,
                                                 .memory_bytes = request.memory_bytes,
                                                 .allow_degraded = request.allow_degraded,
                                                 .device = request.device}));
  Json generations = Json::array();
  for (const std::string& prompt : request.prompts)
    generations.push_back({{"prompt", prompt}, {"text", ""}});
  Json result = {{"model", std::filesystem::absolute(request.model).lexically_normal().string()}};
  BITLOOP_TRY(follow(*process, "generation", [&](const Json& record) {
    const std::string type = record.at("type");
    if (type == "model")
      for (const char* name : {"parameters", "device", "note"}) result[name] = record.at(name);
    if (type == "speed")
      for (const char* name :
           {"prompt_tokens", "prompt_s", "new_tokens", "new_s", "steps", "load_s", "weight_bytes",
            "resident_bytes", "device_bytes", "copy_bytes_per_s"})
        if (record.contains(name)) result["speed"][name] = record.at(name);
    if (type != "text" && type != "generated") return;
    const size_t prompt = record.at("prompt");
    Json& generation = generations.at(prompt);
    if (type == "text") {
      const std::string part = record.at("text");
      generation["text"] = generation["text"].get<std::string>() + part;
      text(prompt, part);
    } else {
      for (const char* name : {"prompt_tokens", "tokens", "finish"})
        generation[name] = record.at(name);
    }
  }));
  result["generations"] = std::move(generations);
  return result;
}

}  // namespace bitloop::evaluation
