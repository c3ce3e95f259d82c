#include "harness/jobs/trainer_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <iterator>

#include "harness/base/paths.h"
#include "harness/base/text.h"
#include "sandbox/gpu.h"

namespace bitloop::jobs {
namespace {

constexpr uint64_t kTmpBytes = uint64_t{16} << 20;
// What CUDA adds: some threads a GPU, and a descriptor for most things it makes.
constexpr unsigned kGpuThreads = 32;
constexpr unsigned kGpuFiles = 1024;
// Opened by the trainer while it runs (trainer/device), so its own header does not name them.
constexpr const char* kGpuLibraries[] = {"libtorch_cuda.so", "libcaffe2_nvrtc.so",
                                         "libbitloop_cuda.so", "libbitloop_nccl.so"};

}  // namespace

std::filesystem::path trainer_program() {
  const char* hook = std::getenv("BITLOOP_TRAINER");
  return hook && *hook ? std::filesystem::absolute(hook) : program_path("bitloop-trainer");
}

std::set<std::string> layers_disabled_for_test() {
  std::set<std::string> layers;
  if (const char* hook = std::getenv("BITLOOP_DISABLE_LAYERS"))
    for (const std::string& layer : split(hook, ',')) layers.insert(layer);
  return layers;
}

sandbox::Policy trainer_policy(unsigned threads, uint64_t memory_bytes, bool allow_degraded) {
  sandbox::Policy policy;
  policy.program = trainer_program();
  // Threads that wait spin for some ten microseconds and then sleep. With libgomp's default, which
  // spins for longer than a step's serial parts last, a busy machine made training five to ten
  // times slower; on a quiet one both are as fast (bench/README.md).
  policy.environment = {"GOMP_SPINCOUNT=1000",
                        fmt::format("OMP_NUM_THREADS={}", threads),
                        fmt::format("MKL_NUM_THREADS={}", threads),
                        "LC_ALL=C",
                        "HOME=/",
                        "TMPDIR=/tmp"};
  for (const char* hook : {"BITLOOP_NAME_REFUSALS", "BITLOOP_LOCK_DOWN"})
    if (const char* value = std::getenv(hook))
      policy.environment.push_back(fmt::format("{}={}", hook, value));
  policy.tmp_bytes = kTmpBytes;
  policy.memory_bytes = memory_bytes;
  policy.threads = 2 * threads + 4;  // two pools, and the helpers of LibTorch
  policy.allow_degraded = allow_degraded;
  policy.disable_for_test = layers_disabled_for_test();
  return policy;
}

Result<std::string> add_gpu(sandbox::Policy& policy, std::string_view device) {
  if (device == "cpu" || (device == "auto" && !sandbox::gpu_present())) return {};
  sandbox::GpuSearch search;
  search.program = policy.program;
  search.opened.assign(std::begin(kGpuLibraries), std::end(kGpuLibraries));
  search.own = library_folders(policy.program);
  if (const char* folders = std::getenv("LD_LIBRARY_PATH")) search.library_path = folders;
  if (const char* numbers = std::getenv("CUDA_VISIBLE_DEVICES")) search.numbers = numbers;
  auto gpu = sandbox::find_gpu(search);
  if (!gpu && device == "auto")
    return fmt::format("on the CPU, since no GPU can be had: {}", gpu.error().message);
  if (!gpu) return std::unexpected(gpu.error());
  std::vector<std::string> folders;
  for (const std::filesystem::path& folder : gpu->library_path) folders.push_back(folder.string());
  if (!folders.empty()) policy.environment.push_back("LD_LIBRARY_PATH=" + join(folders, ":"));
  // There is no home to keep compiled kernels in; nor are they to be found by another run.
  policy.environment.emplace_back("CUDA_CACHE_DISABLE=1");
  policy.threads += kGpuThreads;
  policy.open_files = kGpuFiles;
  policy.gpu = std::move(*gpu);
  return std::string();
}

Result<UniqueFd> sealed_file(std::string_view content) {
  UniqueFd fd(::memfd_create("job", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) return std::unexpected(errno_error("memfd_create", errno));
  BITLOOP_TRY(write_all(fd.get(), content));
  if (::lseek(fd.get(), 0, SEEK_SET) != 0 ||
      ::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0)
    return std::unexpected(errno_error("the job's memory file", errno));
  return fd;
}

}  // namespace bitloop::jobs
