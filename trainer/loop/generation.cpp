#include "trainer/loop/generation.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <optional>
#include <vector>

#include "harness/base/fd.h"
#include "trainer/device/device.h"
#include "trainer/generate/benchmark.h"
#include "trainer/generate/sampling.h"
#include "trainer/generate/utf8_stream.h"
#include "trainer/loop/clock.h"
#include "trainer/loop/finished_run.h"
#include "trainer/loop/model_tokens.h"
#include "trainer/loop/program_pages.h"
#include "trainer/loop/subject.h"

namespace bitloop::trainer {
namespace {

using nlohmann::json;

constexpr size_t kMaxVocabulary = size_t{16} << 20;

// Text to tokens and back.
class Vocabulary {
 public:
  explicit Vocabulary(ModelTokens tokens) : tokens_(std::move(tokens)) {}

  // A text that is empty begins where a document does.
  std::vector<int64_t> encode(const std::string& text) const {
    if (!tokens_.tokenizer) {
      const std::string bytes = text.empty() ? "\n" : text;
      std::vector<int64_t> ids;
      for (const char byte : bytes) ids.push_back(static_cast<unsigned char>(byte));
      return ids;
    }
    std::vector<int32_t> ids = tokens_.prefix;
    tokens_.tokenizer->encode(text, ids);
    ids.insert(ids.end(), tokens_.suffix.begin(), tokens_.suffix.end());
    if (ids.empty()) ids.push_back(tokens_.tokenizer->beginning());
    return {ids.begin(), ids.end()};
  }
  std::string bytes_of(int64_t id) const {
    if (!tokens_.tokenizer) return std::string(1, static_cast<char>(id));
    const int32_t one[] = {static_cast<int32_t>(id)};
    return tokens_.tokenizer->decode(one).value_or("");
  }
  bool ends(int64_t id) const { return tokens_.ends.contains(id); }

 private:
  ModelTokens tokens_;
};

struct Options {
  Sampling sampling;
  int64_t max_new_tokens = 100;
  bool ignore_end = false;
  bool benchmark = false;
};

Options read_options(const json& document) {
  Options options;
  document.at("temperature").get_to(options.sampling.temperature);
  document.at("top_k").get_to(options.sampling.top_k);
  document.at("top_p").get_to(options.sampling.top_p);
  document.at("seed").get_to(options.sampling.seed);
  document.at("max_new_tokens").get_to(options.max_new_tokens);
  document.at("ignore_end").get_to(options.ignore_end);
  options.benchmark = document.value("benchmark", false);
  return options;
}

// One prompt and what follows.
struct Sequence {
  size_t prompt = 0;
  std::vector<int64_t> prompt_ids, ids;  // ids: new ones
  KeyValueCache cache;
  std::optional<Sampler> sampler;
  Utf8Stream stream;
  std::string finish;  // "" while it goes on
};

class Generation {
 public:
  Generation(Subject& subject, const Vocabulary& vocabulary, const Options& options,
             const Records& records, kernels::DeviceKernels* kernels, double load_s)
      : subject_(subject),
        vocabulary_(vocabulary),
        options_(options),
        records_(records),
        kernels_(kernels),
        load_s_(load_s) {}

  Status run(const std::vector<std::string>& prompts) {
    std::vector<Sequence> all;
    for (size_t i = 0; i < prompts.size(); ++i) {
      BITLOOP_ASSIGN(sequence, begin(i, prompts[i]));
      all.push_back(std::move(sequence));
    }
    // Where a scale may be of several rows, prompts would change each other.
    const bool alone = subject_.run && subject_.run->job.rules.paper_compat;
    for (size_t i = 0; i < all.size(); i += alone ? 1 : all.size()) {
      std::vector<Sequence*> together;
      for (size_t j = i; j < (alone ? i + 1 : all.size()); ++j) together.push_back(&all[j]);
      BITLOOP_TRY(run_together(together));
    }
    json speed = {{"prompt_tokens", prompt_tokens_},
                  {"prompt_s", prompt_s_},
                  {"new_tokens", new_tokens_},
                  {"new_s", new_s_},
                  {"steps", steps_},
                  {"load_s", load_s_},
                  {"weight_bytes", bytes_of_a_step()},
                  {"resident_bytes", peak_resident_bytes()}};
    if (kernels_ != nullptr)
      speed["device_bytes"] = device_peak_memory(subject_.model->device());
    else if (options_.benchmark)
      speed["copy_bytes_per_s"] = measured_copy();
    records_.send("speed", speed);
    return {};
  }

 private:
  Result<Sequence> begin(size_t index, const std::string& prompt) {
    const int64_t context = subject_.model->config().context;
    Sequence sequence;
    sequence.prompt = index;
    sequence.prompt_ids = vocabulary_.encode(prompt);
    if (std::ssize(sequence.prompt_ids) >= context)
      return fail("bad_prompt",
                  fmt::format("prompt {} has {} tokens, but the model's context is {}: shorten it",
                              index + 1, sequence.prompt_ids.size(), context));
    sequence.cache = subject_.model->make_cache(
        std::min(context, std::ssize(sequence.prompt_ids) + options_.max_new_tokens));
    sequence.sampler.emplace(options_.sampling, index);
    return sequence;
  }

  Status run_together(std::vector<Sequence*> live) {
    const at::Device device = subject_.model->device();
    for (Sequence* sequence : live) {
      const Clock::time_point start = Clock::now();
      const at::Tensor ids = at::tensor(sequence->prompt_ids, at::kLong).to(device);
      BITLOOP_ASSIGN(features, subject_.model->prefill(ids, sequence->cache, subject_.context));
      BITLOOP_ASSIGN(
          logits, subject_.model->logits(features.narrow(0, ids.size(0) - 1, 1), subject_.context));
      prompt_s_ += seconds_since(start);
      prompt_tokens_ += ids.size(0);
      BITLOOP_TRY(take(*sequence, logits, 0));
    }
    const Clock::time_point start = Clock::now();
    const int64_t before = new_tokens_;
    while (true) {
      std::erase_if(live, [](const Sequence* sequence) { return !sequence->finish.empty(); });
      if (live.empty()) break;
      std::vector<int64_t> last;
      std::vector<KeyValueCache*> caches;
      for (Sequence* sequence : live) {
        last.push_back(sequence->ids.back());
        caches.push_back(&sequence->cache);
      }
      BITLOOP_ASSIGN(features, subject_.model->decode(at::tensor(last, at::kLong).to(device),
                                                      caches, subject_.context));
      BITLOOP_ASSIGN(logits, subject_.model->logits(features, subject_.context));
      ++steps_;
      for (size_t r = 0; r < live.size(); ++r)
        BITLOOP_TRY(take(*live[r], logits, static_cast<int64_t>(r)));
    }
    if (new_tokens_ > before) new_s_ += seconds_since(start);
    return {};
  }

  // Draws a sequence's next token of its row of the logits, and sends what can be read of it.
  Status take(Sequence& sequence, const at::Tensor& logits_RV, int64_t row) {
    const ModelConfig& config = subject_.model->config();
    const at::Tensor logits = logits_RV[row].narrow(0, 0, config.vocab_size).cpu().contiguous();
    if (kernels_ != nullptr)
      if (const std::string error = kernels_->error(); !error.empty())
        return fail("infrastructure", "the GPU: " + error);
    BITLOOP_ASSIGN(id, sequence.sampler->next({logits.const_data_ptr<float>(),
                                               static_cast<size_t>(config.vocab_size)}));
    const bool ended = vocabulary_.ends(id) && !options_.ignore_end;
    if (!sequence.ids.empty()) ++new_tokens_;  // the first is the prompt's
    if (!ended) {
      sequence.ids.push_back(id);
      send_text(sequence, sequence.stream.add(vocabulary_.bytes_of(id)));
    }
    const int64_t length = std::ssize(sequence.prompt_ids) + std::ssize(sequence.ids);
    if (ended)
      sequence.finish = "end";
    else if (std::ssize(sequence.ids) >= options_.max_new_tokens)
      sequence.finish = "length";
    else if (length >= config.context)
      sequence.finish = "context";
    if (sequence.finish.empty()) return {};
    send_text(sequence, sequence.stream.finish());
    records_.send("generated", {{"prompt", sequence.prompt},
                                {"prompt_tokens", sequence.prompt_ids.size()},
                                {"tokens", sequence.ids},
                                {"finish", sequence.finish}});
    sequence.cache = {};
    return {};
  }

  // What products read of the weights, the head's among them.
  int64_t bytes_of_a_step() const {
    int64_t sum = 0;
    bool head = false;
    for (const BitLinear* layer : subject_.model->bitlinears()) {
      if (layer->product) sum += layer->product->bytes();
      head = head || layer->layer.kind == "head";
    }
    if (head) return sum;
    const std::string wanted = subject_.model->config().tied_head
                                   ? BlockMaker::embedding_name(subject_.model->config())
                                   : "lm_head.weight";
    for (const auto& [name, tensor] : subject_.model->named_parameters())
      if (name == wanted)  // float32 on a GPU
        sum += kernels_ != nullptr ? 4 * tensor.numel() : static_cast<int64_t>(tensor.nbytes());
    return sum;
  }

  void send_text(const Sequence& sequence, const std::string& text) const {
    if (!text.empty()) records_.send("text", {{"prompt", sequence.prompt}, {"text", text}});
  }

  Subject& subject_;
  const Vocabulary& vocabulary_;
  const Options& options_;
  const Records& records_;
  kernels::DeviceKernels* const kernels_;  // of a GPU, or null
  const double load_s_;
  int64_t prompt_tokens_ = 0, new_tokens_ = 0, steps_ = 0;
  double prompt_s_ = 0, new_s_ = 0;
};

}  // namespace

Status generate(const json& job, const Records& records) {
  const json& model = job.at("model");
  const Options options = read_options(job.at("options"));
  const auto prompts = job.at("prompts").get<std::vector<std::string>>();
  const Result<ModelConfig> shape = shape_of(model);
  const UniqueFd merges_file(job.at("vocabulary").at("fd").get<int>());
  BITLOOP_ASSIGN(merges, read_all(merges_file.get(), kMaxVocabulary));
  BITLOOP_ASSIGN(tokenizer, tokenizer_file(model));
  return run_with_weights(
      job, model.at("weights"), /*scored=*/nullptr, records,
      [&](const MappedTensors& weights, const Machine& machine) -> Status {
        const at::NoGradGuard no_grad;
        if (!machine.kernels) give_back_program_pages();  // before the file takes their place
        const Clock::time_point start = Clock::now();
        if (!shape && model.contains("packed"))
          return fail("bad_weights",
                      "does not say how its model was made: " + shape.error().message);
        if (!shape) return std::unexpected(shape.error());
        BITLOOP_ASSIGN(tokens, model_tokens(model, *shape, tokenizer, merges));
        const Vocabulary vocabulary(std::move(tokens));
        BITLOOP_ASSIGN(subject, load_subject(model, *shape, weights, records, /*as_stored=*/true));
        records.send("model", {{"parameters", subject.model->parameter_count()},
                               {"device", name_of(machine)},
                               {"note", machine.note}});
        BITLOOP_TRY(subject.model->quantize_weights(subject.context));
        if (machine.kernels) BITLOOP_TRY(serve_on(machine, subject));
        return Generation(subject, vocabulary, options, records, machine.kernels.get(),
                          seconds_since(start))
            .run(prompts);
      });
}

}  // namespace bitloop::trainer
