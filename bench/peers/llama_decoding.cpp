// llama.cpp as a peer of packed decoding: the likeliest tokens of one sequence on two threads.
// Prints {"tokens_per_s", "load_s", "peak_memory_mb"}, the best of a few stretches of tokens. Built
// by hand, as bench/README.md says, since llama.cpp is no part of the build.
#include <llama.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

int main(int argc, char** argv) {
  using Clock = std::chrono::steady_clock;
  constexpr int kThreads = 2, kStretches = 3;
  if (argc < 2) return std::fprintf(stderr, "usage: llama_decoding MODEL.gguf [TOKENS]\n"), 2;
  const int tokens = argc > 2 ? std::atoi(argv[2]) : 16;
  const auto seconds = [](Clock::time_point from) {
    return std::chrono::duration<double>(Clock::now() - from).count();
  };
  llama_log_set(
      [](ggml_log_level level, const char* text, void*) {
        if (level == GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr);
      },
      nullptr);
  const Clock::time_point start = Clock::now();
  llama_backend_init();
  llama_model* model = llama_model_load_from_file(argv[1], llama_model_default_params());
  if (model == nullptr) return 1;
  llama_context_params params = llama_context_default_params();
  params.n_ctx = 256;
  params.n_threads = params.n_threads_batch = kThreads;
  llama_context* context = llama_init_from_model(model, params);
  if (context == nullptr) return 1;
  const double load = seconds(start);
  const int vocabulary = llama_vocab_n_tokens(llama_model_get_vocab(model));
  llama_token token = 1;
  const auto step = [&] {
    if (llama_decode(context, llama_batch_get_one(&token, 1)) != 0) std::exit(1);
    const float* logits = llama_get_logits_ith(context, -1);
    token = static_cast<llama_token>(std::max_element(logits, logits + vocabulary) - logits);
  };
  for (int i = 0; i < 4; ++i) step();
  double best = 0;
  for (int stretch = 0; stretch < kStretches; ++stretch) {
    const Clock::time_point from = Clock::now();
    for (int i = 0; i < tokens; ++i) step();
    best = std::max(best, tokens / seconds(from));
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  std::printf("{\"tokens_per_s\": %.3f, \"load_s\": %.3f, \"peak_memory_mb\": %.1f}\n", best, load,
              static_cast<double>(usage.ru_maxrss) / 1024);
}
