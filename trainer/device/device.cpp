#include "trainer/device/device.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <dlfcn.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

namespace bitloop::trainer {
namespace {

constexpr const char* kDriver = "libcuda.so.1";
constexpr const char* kControl = "/dev/nvidiactl";
// Of the CUDA toolkit that LibTorch's library was built with: drivers run programs of their own
// major version and of older ones.
constexpr int kCudaMajor = 13;
constexpr int kMinorDigits = 1000, kMinorUnit = 10;  // 13020 is CUDA 13.2

std::unexpected<Error> unavailable(std::string message) {
  return fail("device_unavailable", std::move(message));
}

// The driver's own functions, by their names in cuda.h.
struct Driver {
  int (*init)(unsigned) = nullptr;
  int (*version)(int*) = nullptr;
  int (*count)(int*) = nullptr;
  int (*get)(int*, int) = nullptr;
  int (*name)(char*, int, int) = nullptr;
  int (*memory)(size_t*, int) = nullptr;
};

template <typename Function>
bool find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  return function != nullptr;
}

// What dlopen said.
std::string loader_message() {
  const char* said = ::dlerror();
  return said == nullptr ? "unknown reason" : said;
}

Result<Driver> open_driver() {
  void* library = ::dlopen(kDriver, RTLD_NOW | RTLD_GLOBAL);
  if (library == nullptr)
    return unavailable(
        fmt::format("this machine has no NVIDIA driver that can be opened ({}): install one, or "
                    "stay on the CPU (train.device=cpu)",
                    loader_message()));
  Driver driver;
  if (!find(library, "cuInit", driver.init) ||
      !find(library, "cuDriverGetVersion", driver.version) ||
      !find(library, "cuDeviceGetCount", driver.count) ||
      !find(library, "cuDeviceGet", driver.get) || !find(library, "cuDeviceGetName", driver.name) ||
      !find(library, "cuDeviceTotalMem_v2", driver.memory))
    return unavailable(
        fmt::format("{} is no NVIDIA driver that bitloop knows: install another, or stay "
                    "on the CPU (train.device=cpu)",
                    kDriver));
  return driver;
}

// Of the GPU that is open.
struct Facts {
  std::string name;
  uint64_t memory = 0;
};
Facts& facts() {
  static Facts open;
  return open;
}

Status look_at_devices() {
  BITLOOP_ASSIGN(driver, open_driver());
  int version = 0;
  if (driver.version(&version) == 0 && version / kMinorDigits < kCudaMajor)
    return unavailable(fmt::format(
        "the NVIDIA driver is for CUDA {}.{}, and CUDA {}.0 is needed: install a newer driver, or "
        "stay on the CPU (train.device=cpu)",
        version / kMinorDigits, version % kMinorDigits / kMinorUnit, kCudaMajor));
  if (const int code = driver.init(0); code != 0)
    return unavailable(
        fmt::format("the NVIDIA driver finds no GPU that it can use (its error is {}): look at "
                    "nvidia-smi, or stay on the CPU (train.device=cpu)",
                    code));
  int count = 0, device = 0;
  if (driver.count(&count) != 0 || count == 0 || driver.get(&device, 0) != 0)
    return unavailable(
        "the NVIDIA driver shows no GPU: look at nvidia-smi and at CUDA_VISIBLE_DEVICES, or stay "
        "on the CPU (train.device=cpu)");
  std::array<char, 256> name{};
  size_t memory = 0;
  (void)driver.name(name.data(), static_cast<int>(name.size()) - 1, device);
  (void)driver.memory(&memory, device);
  facts() = {name.data(), memory};
  return {};
}

// Beside libtorch_cpu.so, wherever the loader found that.
std::string cuda_library() {
  Dl_info where{};
  if (::dladdr(reinterpret_cast<const void*>(&at::globalContext), &where) == 0 ||
      where.dli_fname == nullptr)
    return "libtorch_cuda.so";
  const std::string path = where.dli_fname;
  const size_t slash = path.rfind('/');
  return (slash == std::string::npos ? "" : path.substr(0, slash + 1)) + "libtorch_cuda.so";
}

Status open_library() {
  // Read when cuBLAS begins: with a workspace of its own for each stream it sums in one order.
  ::setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", 1);
  // Pinned memory for what LibTorch's operations want of it later, when none can be had any more.
  ::setenv("PYTORCH_ALLOC_CONF", "pinned_reserve_segment_size_mb:16", 1);
  if (::dlopen(cuda_library().c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr)
    return unavailable(
        fmt::format("LibTorch's CUDA library can't be opened ({}): scripts/setup unpacks what it "
                    "needs, or stay "
                    "on the CPU (train.device=cpu)",
                    loader_message()));
  if (!at::globalContext().hasCUDA() || at::detail::getCUDAHooks().getNumGPUs() == 0)
    return unavailable(
        "LibTorch sees no GPU that CUDA can use: look at nvidia-smi, or stay on the CPU "
        "(train.device=cpu)");
  return {};
}

// Says once that an operation has no form that is the same in every run, and not at every call.
class FewerWarnings : public c10::WarningHandler {
 public:
  void process(const c10::Warning& warning) override {
    const bool of_order = warning.msg().find("deterministic") != std::string::npos;
    if (!of_order || !said_) c10::WarningHandler::process(warning);
    said_ = said_ || of_order;
  }

 private:
  bool said_ = false;
};

void set_numerics() {
  static FewerWarnings warnings;
  c10::WarningUtils::set_warning_handler(
      &warnings);  // of this thread, which is the only one to warn
  at::Context& context = at::globalContext();
  context.setFloat32Precision(at::Float32Backend::CUDA, at::Float32Op::ALL,
                              at::Float32Precision::IEEE);
  context.setFloat32Precision(at::Float32Backend::CUDA, at::Float32Op::MATMUL,
                              at::Float32Precision::IEEE);
  context.setAllowTF32CuDNN(false);
  context.setAllowBF16ReductionCuBLAS(/*allow_reduced_precision=*/false);
  // An operation of a candidate's that has no such form is not refused: the repetition of the run
  // compares the bits.
  context.setDeterministicAlgorithms(true, /*warn_only=*/true);
  context.setDeterministicFillUninitializedMemory(false);
}

// A step in miniature: this thread and autograd's have their handles afterwards, copies in both
// directions their buffers, and numbers of every width the pinned memory by which item() reads
// them.
void use_once(at::Device device) {
  constexpr int64_t kSize = 512;
  const at::AutoGradMode grad(true);
  const at::Tensor x = at::ones({kSize, kSize}).to(device).requires_grad_(true);
  const at::Tensor half = x.to(at::kBFloat16), codes = x.detach().to(at::kChar);
  torch::autograd::backward({at::mm(x, x).sum() + at::mm(half, half).to(at::kFloat).sum()}, {});
  (void)at::_int_mm(codes, codes.t());
  const at::Tensor gradient = x.grad();
  (void)gradient.cpu();
  for (const at::ScalarType type : {at::kBool, at::kHalf, at::kFloat, at::kDouble})
    (void)gradient.sum().to(type).item();
}

Status open_cuda(at::Device device) {
  BITLOOP_TRY(look_at_devices());
  BITLOOP_TRY(open_library());
  try {
    at::globalContext().lazyInitDevice(at::kCUDA);
    set_numerics();
    use_once(device);
  } catch (const c10::Error& error) {
    const std::string what = error.what_without_backtrace();
    return unavailable(
        fmt::format("the GPU ({}) does not compute ({}): look at nvidia-smi, or "
                    "stay on the CPU (train.device=cpu)",
                    facts().name, what.substr(0, what.find('\n'))));
  }
  return {};
}

}  // namespace

std::string choose_device(std::string_view wanted) {
  if (wanted != "auto") return std::string(wanted);
  if (::access(kControl, F_OK) != 0) return "cpu";
  return ::dlopen(kDriver, RTLD_NOW | RTLD_GLOBAL) != nullptr ? "cuda" : "cpu";
}

void choose_gpu(int64_t rank) {
  constexpr int kMostGpus = 64;
  int64_t devices = 0;
  for (int i = 0; i < kMostGpus; ++i)
    if (::access(fmt::format("/dev/nvidia{}", i).c_str(), F_OK) == 0) ++devices;
  if (devices > 0) ::setenv("CUDA_VISIBLE_DEVICES", std::to_string(rank % devices).c_str(), 1);
}

Result<at::Device> open_device(std::string_view wanted) {
  const std::string chosen = choose_device(wanted);
  if (chosen == "cpu") return at::Device(at::kCPU);
  if (chosen != "cuda")
    return unavailable(fmt::format("there is no device '{}': use cpu, cuda or auto", wanted));
  const at::Device device(at::kCUDA, 0);
  static const Status opened = open_cuda(device);
  if (!opened) return std::unexpected(opened.error());
  return device;
}

std::string device_name(at::Device device) { return device.is_cpu() ? "cpu" : facts().name; }

uint64_t device_memory(at::Device device) { return device.is_cpu() ? 0 : facts().memory; }

uint64_t device_peak_memory(at::Device device) {
  if (device.is_cpu()) return 0;
  constexpr auto kAll = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  const auto stats = c10::getDeviceAllocator(device.type())->getDeviceStats(device.index());
  return static_cast<uint64_t>(stats.reserved_bytes[kAll].peak);
}

}  // namespace bitloop::trainer
