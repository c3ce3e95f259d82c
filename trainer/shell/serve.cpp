#include "trainer/shell/serve.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <optional>

#include "harness/base/fd.h"
#include "sandbox/lock_down.h"
#include "trainer/loop/threads.h"
#include "trainer/shell/evaluator.h"
#include "trainer/shell/show.h"
#include "trainer/shell/tensor_file.h"

namespace bitloop::trainer::shell {
namespace {

using nlohmann::json;

constexpr size_t kMaxRequestBytes = size_t{8} << 20;
constexpr size_t kOutputPiece = 64 << 10;       // of one record
constexpr size_t kMaxOutput = size_t{4} << 20;  // of one chunk

// The number of the request that the user wants to end; the host writes it, we read it.
const std::atomic<uint64_t>* wish = nullptr;
uint64_t current_request = 0;

bool interrupted() { return wish->load(std::memory_order_relaxed) == current_request; }

Status map_control(int fd) {
  static_assert(std::atomic<uint64_t>::is_always_lock_free);
  void* memory = ::mmap(nullptr, sizeof(uint64_t), PROT_READ, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) return std::unexpected(errno_error("the control page", errno));
  ::close(fd);
  wish = static_cast<const std::atomic<uint64_t>*>(memory);
  lua::Guest::interrupted = interrupted;
  return {};
}

// Lines of the request descriptor.
class Requests {
 public:
  explicit Requests(int fd) : fd_(fd) {}
  // Nothing at the end, and after a line that is too long or not a JSON object: the host is gone.
  std::optional<json> next() {
    size_t end;
    while ((end = pending_.find('\n', searched_)) == std::string::npos) {
      searched_ = pending_.size();
      if (pending_.size() > kMaxRequestBytes) return std::nullopt;
      char buffer[65536];
      const ssize_t count = ::read(fd_, buffer, sizeof buffer);
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return std::nullopt;
      pending_.append(buffer, static_cast<size_t>(count));
    }
    json request = json::parse(pending_.substr(0, end), nullptr, false);
    pending_.erase(0, end + 1);
    searched_ = 0;
    if (!request.is_object()) return std::nullopt;
    return request;
  }

 private:
  int fd_;
  std::string pending_;
  size_t searched_ = 0;
};

// What print writes, sent in pieces; what is too much is dropped, and said so.
class Output {
 public:
  explicit Output(const Records& records) : records_(records) {}
  void start() { written_ = 0; }
  void write(std::string_view text) {
    if (written_ > kMaxOutput) return;
    written_ += text.size();
    while (!text.empty()) {
      size_t size = std::min(text.size(), kOutputPiece);
      // Not within a character of UTF-8.
      for (int i = 0; i < 3 && size < text.size() && (text[size] & 0xc0) == 0x80; ++i) --size;
      records_.send("output", {{"text", text.substr(0, size)}});
      text.remove_prefix(size);
    }
    if (written_ > kMaxOutput)
      records_.send("output",
                    {{"text", fmt::format("… (the rest of more than {} MiB is left out)\n",
                                          kMaxOutput >> 20)}});
  }

 private:
  const Records& records_;
  size_t written_ = 0;
};

// Everything in LibTorch that starts threads or makes code, once, before neither is possible.
void warm(int64_t threads) {
  start_threads(threads);
  const at::NoGradGuard no_graph;
  const at::Tensor a = at::ones({512, 512});
  (void)at::mm(a, a).add(1).round().clamp(-1, 1).abs().mean().item<double>();
  (void)at::sort(a.flatten());
  // LibTorch's own generator, which a call with another one makes as well, takes its seed from a
  // file.
  (void)at::randn({1});
}

// The tensors of --tensor, or the first that can't be read, as a sentence.
Result<std::vector<Global>> read_tensors(const json& list) {
  std::vector<Global> globals;
  for (const json& entry : list) {
    const std::string name = entry.at("name"), path = entry.at("path");
    const int fd = entry.at("fd");
    auto file = read_tensor_file(fd, entry.at("tensor").get<std::string>());
    ::close(fd);
    if (!file)
      return fail(file.error().code,
                  fmt::format("--tensor {}: {} {}", name, path, file.error().message));
    globals.push_back({name, std::move(file->tensor), std::move(file->named)});
  }
  return globals;
}

Source source_of(const json& object) { return {object.at("path"), object.at("content")}; }

void send_answer(const Records& records, const Answer& answer) {
  json error = nullptr;
  if (!answer.error.code.empty())
    error = {{"code", answer.error.code}, {"message", answer.error.message}};
  records.send("answer", {{"id", current_request},
                          {"incomplete", answer.incomplete},
                          {"lost", answer.lost},
                          {"error", error}});
}

void answer_requests(Evaluator& shell, Requests& requests, const Records& records, Output& output) {
  while (const auto request = requests.next()) {
    current_request = request->at("id");
    if (request->at("op") == "complete") {
      records.send("answer", {{"id", current_request},
                              {"names", shell.complete(request->at("text").get<std::string>())}});
      continue;
    }
    output.start();
    send_answer(records, shell.evaluate(request->at("code").get<std::string>(), request->at("line"),
                                        request->at("more")));
  }
}

Status run(const json& job, const Records& records) {
  BITLOOP_TRY(map_control(job.at("control_fd")));
  warm(job.at("threads"));
  BITLOOP_TRY(sandbox::lock_down(sandbox::LockDownProfile::kCpu));
  // From here on files are parsed that may be hostile.
  auto globals = read_tensors(job.at("tensors"));
  if (!globals) {
    records.send("ready", {{"bad_tensor", globals.error().message}});
    return {};
  }
  Requests requests(job.at("request_fd").get<int>());
  Output output(records);
  json shapes = json::object();
  for (const Global& global : *globals)
    shapes[global.name] = global.tensor.defined() ? "Tensor" + show_shape(global.tensor.sizes())
                                                  : fmt::format("{} tensors", global.named.size());
  Evaluator::Setup setup;
  setup.chunk_name = job.at("chunk_name");
  for (const auto& [name, source] : job.at("zoo").items()) setup.zoo[name] = source_of(source);
  setup.globals = std::move(*globals);
  setup.output = [&](std::string_view text) { output.write(text); };
  setup.read_source = [&]() -> Result<Source> {
    records.send("need_source", {{"id", current_request}});
    const auto reply = requests.next();
    if (!reply) return fail("io_error", "the host is gone");
    if (!reply->at("error").is_null()) return fail("script_error", reply->at("error"));
    return source_of(*reply);
  };
  Evaluator shell(std::move(setup));
  json ready = {
      {"bad_tensor", nullptr}, {"tensors", shapes}, {"quantizer", nullptr}, {"error", nullptr}};
  if (!job.at("candidate").is_null()) {
    if (const Status loaded = shell.load(source_of(job.at("candidate"))); !loaded)
      ready["error"] = loaded.error().message;
    else
      ready["quantizer"] = {{"name", shell.loaded_format()->name},
                            {"doc", shell.loaded_format()->doc}};
  }
  records.send("ready", std::move(ready));
  answer_requests(shell, requests, records, output);
  return {};
}

}  // namespace

Status serve(const json& job, const Records& records) {
  try {
    return run(job, records);
  } catch (const json::exception& error) {
    return fail("bad_job", fmt::format("the shell's job can't be read: {}", error.what()));
  }
}

}  // namespace bitloop::trainer::shell
