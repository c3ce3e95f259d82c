#include "harness/tasks/ranks.h"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <system_error>

#include "harness/base/text.h"

namespace bitloop::tasks {
namespace {

bool is_number(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

int64_t gpus_here(const std::filesystem::path& devices) {
  constexpr std::string_view kPrefix = "nvidia";
  int64_t found = 0;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(devices, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name.starts_with(kPrefix) && is_number(std::string_view(name).substr(kPrefix.size())))
      ++found;
  }
  if (const char* numbers = std::getenv("CUDA_VISIBLE_DEVICES"))
    found = std::min<int64_t>(found, std::ranges::count_if(split(numbers, ','), is_number));
  return found;
}

nlohmann::json settle_ranks(nlohmann::json preset, int64_t gpus) {
  nlohmann::json& train = preset["train"];
  const int64_t wanted = train.value("ranks", int64_t{1});
  if (wanted == 1) return preset;
  int64_t ranks =
      train.value("device", std::string("cpu")) == "cpu" ? 1 : std::clamp<int64_t>(gpus, 1, wanted);
  while (train["batch"].get<int64_t>() % ranks != 0) --ranks;
  train["ranks"] = ranks;
  return preset;
}

}  // namespace bitloop::tasks
