#include "trainer/checkpoint/checkpoint.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "harness/base/fd.h"
#include "harness/base/sha256.h"

namespace bitloop::trainer {
namespace {

using nlohmann::json;

constexpr int64_t kVersion = 1;
constexpr const char* kVersionKey = "bitloop_checkpoint";

std::string text_of(const MappedTensors& file, const char* key) {
  const auto found = file.metadata().find(key);
  return found == file.metadata().end() ? "" : found->second;
}

// 0 for what is no number.
int64_t number_of(const MappedTensors& file, const char* key) {
  const std::string text = text_of(file, key);
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size() ? number : 0;
}

// Of everything else in the file: what it says and what it holds.
std::string digest_of(const std::string& run, const std::string& step, const std::string& progress,
                      const NamedTensors& tensors) {
  Sha256 digest;
  for (const std::string& text : {run, step, progress}) {
    digest.add(text);
    digest.add("\n");
  }
  for (const auto& [name, tensor] : tensors) {
    digest.add(name);
    digest.add("\n");
    const at::Tensor data = tensor.detach().cpu().contiguous();
    digest.add(data.const_data_ptr(), data.nbytes());
  }
  return digest.finish();
}

}  // namespace

std::string run_digest(const Job& job) {
  json preset = job.config;
  for (const char* part : {"description", "limits", "checkpoint"}) preset.erase(part);
  if (preset.contains("train"))
    for (const char* key : {"device", "ranks"})  // "auto" says too little; any number goes on
      preset["train"].erase(key);
  Sha256 digest;
  for (const std::string& part :
       {job.candidate, preset.dump(), std::to_string(job.train.seed),
        json(job.rules.allowed_config).dump(),
        fmt::format("{} {}", job.rules.quantize_head, job.rules.paper_compat)}) {
    digest.add(part);
    digest.add("\0", 1);
  }
  if (job.init_from.is_object()) digest.add(job.init_from.value("sha256", ""));
  if (job.train.device == "cuda") digest.add("cuda");  // another device computes other numbers
  return digest.finish();
}

Status write_checkpoint(int fd, const Checkpoint& checkpoint, const std::string& run) {
  NamedTensors tensors = checkpoint.tensors;
  std::ranges::sort(tensors, {},
                    [](const auto& named) -> const std::string& { return named.first; });
  const std::string step = std::to_string(checkpoint.step);
  const std::string progress = checkpoint.progress.dump();
  const std::string header =
      safetensors_header(tensors, {{kVersionKey, std::to_string(kVersion)},
                                   {"run", run},
                                   {"step", step},
                                   {"progress", progress},
                                   {"sha256", digest_of(run, step, progress, tensors)}});
  if (::ftruncate(fd, 0) != 0 || ::lseek(fd, 0, SEEK_SET) != 0)
    return std::unexpected(errno_error("a checkpoint", errno));
  const Status written = write_safetensors(fd, header, tensors);
  if (!written) (void)!::ftruncate(fd, 0);  // room for what is wanted more
  return written;
}

int64_t checkpoint_step(const MappedTensors& file) { return number_of(file, "step"); }

Result<Checkpoint> read_checkpoint(const MappedTensors& file, const std::string& run) {
  const int64_t version = number_of(file, kVersionKey);
  if (version == 0) return fail("bad_checkpoint", "is no checkpoint of bitloop");
  if (version > kVersion)
    return fail("foreign_checkpoint",
                fmt::format("is of version {}, which this bitloop does not know", version));
  if (text_of(file, "run") != run)
    return fail("foreign_checkpoint",
                "is of another run: candidate, preset, rules, seed or device are not this one's");
  Checkpoint checkpoint;
  checkpoint.step = checkpoint_step(file);
  const std::string progress = text_of(file, "progress");
  checkpoint.progress = json::parse(progress, nullptr, false);
  for (const std::string& name : file.names()) {  // sorted, as they were written
    BITLOOP_ASSIGN(tensor, file.get(name));
    checkpoint.tensors.emplace_back(name, tensor.clone());
  }
  if (digest_of(run, text_of(file, "step"), progress, checkpoint.tensors) !=
          text_of(file, "sha256") ||
      !checkpoint.progress.is_object() || checkpoint.step <= 0)
    return fail("bad_checkpoint", "is damaged: its checksum is not that of its content");
  return checkpoint;
}

}  // namespace bitloop::trainer
