// `bitloop generate`: what a model goes on with.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <utility>

#include "harness/base/fd.h"
#include "harness/base/text.h"
#include "harness/cli/commands.h"
#include "harness/cli/common.h"
#include "harness/cli/terminal.h"
#include "harness/evaluation/generation.h"

namespace bitloop::cli {
namespace {

constexpr size_t kMaxPromptBytes = size_t{1} << 20;

struct GenerateOptions {
  std::string model;
  evaluation::GenerationRequest request;
  JailSize jail;
  bool benchmark = false;
  bool json = false;
};

constexpr const char* kExamples =
    "Examples:\n"
    "  bitloop generate results/runs/local-1 --prompt 'To be'\n"
    "  bitloop generate gpt2 --prompt 'Once upon a time' --prompt 'The end' --temperature 0\n"
    "  bitloop generate model.safetensors --prompt - < letter.txt\n"
    "Exit codes: 0 done, 2 wrong usage, 3 the machine cannot.";

// "-" is the standard input.
Status read_prompts(std::vector<std::string>& prompts) {
  for (std::string& prompt : prompts) {
    if (prompt == "-") {
      BITLOOP_ASSIGN(text, read_all(STDIN_FILENO, kMaxPromptBytes));
      prompt = std::move(text);
    }
    if (!is_valid_utf8(prompt)) return fail("wrong_usage", "--prompt: the text is not UTF-8");
    if (prompt.size() > kMaxPromptBytes)
      return fail("wrong_usage", "--prompt: the text is longer than any model's context");
  }
  return {};
}

// What a model says goes to a terminal without the characters that could steer it.
std::string for_people(std::string_view text) {
  static const bool terminal = is_terminal(stdout);
  std::string shown(text);
  if (terminal)
    std::ranges::replace_if(
        shown,
        [](char c) {
          const auto byte = static_cast<unsigned char>(c);
          return (byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7F;
        },
        '?');
  return shown;
}

std::string rate(const evaluation::Json& speed, const char* tokens, const char* seconds) {
  const double time = speed.at(seconds);
  if (time <= 0) return "0 tokens";
  return fmt::format("{} tokens, {:.1f} tokens/s", speed.at(tokens).get<int64_t>(),
                     speed.at(tokens).get<double>() / time);
}

void print_benchmark(const evaluation::Json& speed) {
  constexpr double kMega = 1e6, kGiga = 1e9;
  const double bytes = speed.at("weight_bytes"), steps = speed.at("steps"),
               seconds = speed.at("new_s"), copy = speed.value("copy_bytes_per_s", 0.0);
  const double read = seconds > 0 ? bytes * steps / seconds : 0;
  fmt::print("load    {:.3f} s\n", speed.at("load_s").get<double>());
  fmt::print("prompt  {}\n", rate(speed, "prompt_tokens", "prompt_s"));
  fmt::print("new     {}\n", rate(speed, "new_tokens", "new_s"));
  fmt::print("reads   {:.1f} MB of weights a token's step, {:.2f} GB/s", bytes / kMega,
             read / kGiga);
  if (copy > 0)
    fmt::print(": {:.0f}% of a copy's {:.2f} GB/s (read and written)", 100 * read / copy,
               copy / kGiga);
  fmt::print("\nmemory  {:.0f} MB at most", speed.at("resident_bytes").get<double>() / kMega);
  if (speed.contains("device_bytes"))
    fmt::print(", {:.0f} MB of the GPU's", speed.at("device_bytes").get<double>() / kMega);
  fmt::print("\n");
}

Result<int> run(GenerateOptions options) {
  evaluation::GenerationRequest& request = options.request;
  request.model = options.model;
  if (request.prompts.empty()) request.prompts.emplace_back();
  BITLOOP_TRY(read_prompts(request.prompts));
  request.threads = options.jail.thread_count();
  request.memory_bytes = options.jail.memory_bytes();
  BITLOOP_TRY(prepare_for_jail(request.allow_degraded));
  // One prompt is written as it comes; the texts of several would run into each other.
  const bool quiet = options.json || options.benchmark;
  const bool streams = !quiet && request.prompts.size() == 1;
  if (options.benchmark) request.ignore_end = request.benchmark = true;
  bool begun = false;
  BITLOOP_ASSIGN(result, evaluation::generate(request, [&](size_t prompt, std::string_view text) {
                   if (!streams) return;
                   if (!std::exchange(begun, true))
                     fmt::print("{}", for_people(request.prompts[prompt]));
                   fmt::print("{}", for_people(text));
                   std::fflush(stdout);
                 }));
  const std::string note = result.at("note");
  result.erase("note");
  if (!note.empty()) fmt::print(stderr, "{}\n", for_people(note));
  if (options.json) {
    fmt::print("{}\n", result.dump(1, ' ', false, evaluation::Json::error_handler_t::replace));
    return kDone;
  }
  if (options.benchmark) {
    print_benchmark(result.at("speed"));
    return kDone;
  }
  if (streams) {
    fmt::print("\n");
    return kDone;
  }
  for (const auto& generation : result.at("generations"))
    fmt::print("=== {}\n{}{}\n", single_line(generation.at("prompt").get<std::string>()),
               for_people(generation.at("prompt").get<std::string>()),
               for_people(generation.at("text").get<std::string>()));
  return kDone;
}

}  // namespace

void add_generate(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<GenerateOptions>();
  evaluation::GenerationRequest& request = options->request;
  CLI::App* command = app.add_subcommand("generate", "Let a model continue a text, in the jail");
  command
      ->add_option(
          "MODEL", options->model,
          "the folder of a run (WORKSPACE/runs/SESSION-TEST), a packed model, or a Hugging "
          "Face GPT-2 or Llama (a folder with config.json and model.safetensors)")
      ->required();
  command->add_option(
      "--tokenizer", request.tokenizer,
      "tokenizer.json, or a folder with one, for a run or packed model whose tokens "
      "are neither bytes nor GPT-2's (default: the model's own)");
  command
      ->add_option(
          "--prompt", request.prompts,
          "what to go on from; may be repeated; - is the standard input (default: nothing, "
          "as at the beginning of a document)")
      ->take_all()
      ->allow_extra_args(false);
  command->add_option("--max-new-tokens", request.max_new_tokens, "after each prompt (default 100)")
      ->check(CLI::Range(int64_t{1}, int64_t{1'000'000}));
  command
      ->add_option("--temperature", request.temperature,
                   "0: always the likeliest token (default 0.8)")
      ->check(CLI::Range(0.0, 1000.0));
  command->add_option("--top-k", request.top_k, "draw from the likeliest k; 0 (default): from all")
      ->check(CLI::Range(int64_t{0}, int64_t{1'000'000}));
  command
      ->add_option("--top-p", request.top_p,
                   "draw from the likeliest that make up this share of the probability (default 1)")
      ->check(CLI::Range(0.0, 1.0));
  command->add_option("--seed", request.seed, "of the draws (default 42)")
      ->check(CLI::Range(int64_t{0}, int64_t{9'007'199'254'740'991}));
  command->add_flag("--ignore-end", request.ignore_end, "go on behind <|endoftext|>");
  command->add_flag("--benchmark", options->benchmark,
                    "print how fast it was, how fast weights were read beside a copy, and how much "
                    "memory it took; no text (goes on behind <|endoftext|>)");
  command
      ->add_option("--device", request.device,
                   "cpu (default), cuda, or auto: a GPU where there is one")
      ->check(CLI::IsMember({"cpu", "cuda", "auto"}));
  add_jail_threads(*command, options->jail);
  add_jail_memory(*command, options->jail);
  command->add_flag("--json", options->json,
                    "one JSON document: {model, parameters, device, generations: [{prompt, text, "
                    "prompt_tokens, tokens, finish}], speed}");
  command->add_flag("--allow-degraded", request.allow_degraded, kDegradedHelp);
  command->footer(kExamples);
  command->callback([options, &exit_code] { exit_code = finish(run(*options)); });
}

}  // namespace bitloop::cli
