// A jail with GPUs, of which this machine has none: other device files stand in for theirs. Shown
// is what such a jail opens, and that it opens nothing else.
#include "sandbox/gpu.h"

#include <fcntl.h>
#include <gmock/gmock.h>

#include <csignal>
#include <map>

#include "sandbox/landlock.h"
#include "tests/sandbox/jail_fixture.h"

namespace bitloop::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

enum Expected { kWorks, kRefused, kKilled };

Expected outcome(const sandbox::Verdict& verdict) {
  if (verdict.signal == SIGSYS) return kKilled;
  return verdict.exit_code == 0 ? kWorks : kRefused;
}

class GpuTest : public JailTest {
 protected:
  void SetUp() override {
    JailTest::SetUp();
    if (IsSkipped()) return;
    fs::create_directories(folder_ / "driver");
    fs::copy_file(BITLOOP_TEST_GUEST, folder_ / "driver/libcuda.so.1");
    fs::permissions(folder_ / "driver", fs::perms(0755));
  }

  sandbox::Policy with_gpu(std::vector<std::string> arguments) {
    sandbox::Policy result = policy(std::move(arguments));
    result.gpu = sandbox::Gpu{
        {{"/dev/full", "nvidiactl"}, {"/dev/full", "nvidia-uvm"}, {"/dev/zero", "nvidia0"}},
        {folder_ / "driver"},
        {}};
    return result;
  }
  std::string library() const { return (folder_ / "driver/libcuda.so.1").string(); }
};

TEST_F(GpuTest, ExactlyTheseDeviceFilesAreThere) {
  // Landlock does not let the folder be read.
  EXPECT_EQ(run(with_gpu({"list", "/dev"})).exit_code, 1);
  EXPECT_EQ(run_without(with_gpu({"list", "/dev"}), {"landlock"}).exit_code, 0);
  EXPECT_EQ(said_, "null nvidia-uvm nvidia0 nvidiactl urandom zero worked\n");
  for (const char* path : {"/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia0"})
    EXPECT_EQ(run(with_gpu({"control", path})).exit_code, 0) << path << ": " << said_;
  for (const char* path : {"/dev/nvidia1", "/dev/nvidia-uvm-tools", "/dev/mem"})
    EXPECT_EQ(run(with_gpu({"open", path})).exit_code, 1) << path;
  // No other device file is controlled, nor written.
  EXPECT_EQ(run(with_gpu({"control", "/dev/urandom"})).exit_code, 1);
  if (sandbox::landlock_abi() >= 5) {
    EXPECT_EQ(run(with_gpu({"control", "/dev/null"})).exit_code, 1);
  }
}

TEST_F(GpuTest, TheDriversFolderIsReadOnlyAndCode) {
  EXPECT_EQ(run(with_gpu({"map_code", library()})).exit_code, 0) << said_;
  EXPECT_EQ(run(with_gpu({"open_to_write", library()})).exit_code, 1);
  EXPECT_EQ(run(with_gpu({"write_file", (folder_ / "driver/x").string()})).exit_code, 1);
  auto data = policy({"map_code", library()});
  data.read_only = {folder_ / "driver"};
  EXPECT_EQ(run(data).exit_code, 1);
}

TEST_F(GpuTest, WithoutAGpuNothingOfThisIsThere) {
  EXPECT_EQ(run_without(policy({"list", "/dev"}), {"landlock"}).exit_code, 0);
  EXPECT_EQ(said_, "null urandom zero worked\n");
  for (const std::string& path :
       {std::string("/proc/driver/nvidia/params"), std::string("/proc/self/status"), library()}) {
    EXPECT_EQ(run(policy({"open", path})).exit_code, 1) << path;
    EXPECT_EQ(run(with_gpu({"open", path})).exit_code, 0) << path << ": " << said_;
  }
  for (const char* name : {"listen", "memfd"}) {
    EXPECT_NE(run(policy({name, ""})).exit_code, 0) << name;
    EXPECT_EQ(run(with_gpu({name, ""})).exit_code, 0) << name << ": " << said_;
  }
  EXPECT_EQ(run(policy({"name_thread", "self"})).exit_code, 1);
  EXPECT_EQ(run(policy({"request", "c020462a"})).exit_code, 1);
  EXPECT_EQ(said_, "Operation not permitted\n");
}

TEST_F(GpuTest, ItsOwnThreadsAreNamedAndNoOtherProcessIsSeen) {
  for (const char* process : {"self", "2", "thread-self/../.."})
    EXPECT_EQ(run(with_gpu({"name_thread", process})).exit_code, 0) << process << ": " << said_;
  for (const char* path : {"/proc/1/environ", "/proc/processes/1/mem", "/proc/processes/1/environ",
                           "/proc/sys/kernel/ostype", "/proc/processes/sys/kernel/ostype",
                           "/proc/kallsyms", "/proc/processes/kallsyms"})
    EXPECT_EQ(run(with_gpu({"open", path})).exit_code, 1) << path;
  EXPECT_EQ(run_without(with_gpu({"list", "/proc/processes"}), {"landlock"}).exit_code, 0);
  EXPECT_EQ(said_, "1 2 self thread-self worked\n");
}

TEST_F(GpuTest, RequestsOfTheDriverPassAndOthersDoNot) {
  for (const char* request : {"c020462a", "c04846d2", "30000001", "30000002", "21", "4b"})
    EXPECT_EQ(run(with_gpu({"request", request})).exit_code, 0) << request << ": " << said_;
  // Terminals, frame buffers, disks, network, the tools of unified memory.
  for (const char* request : {"5412", "4600", "1261", "8913", "3f"})
    EXPECT_EQ(run(with_gpu({"request", request})).exit_code, 1) << request;
}

TEST_F(GpuTest, TheOtherWallsStand) {
  for (const auto& [name, expected] : std::map<std::string, Expected>{{"socket_inet", kRefused},
                                                                      {"socket_vsock", kRefused},
                                                                      {"connect_unix", kRefused},
                                                                      {"fork", kRefused},
                                                                      {"execve", kRefused},
                                                                      {"setrlimit", kRefused},
                                                                      {"read_memory", kRefused},
                                                                      {"perf", kRefused},
                                                                      {"tiocsti", kRefused},
                                                                      {"ptrace", kKilled},
                                                                      {"bpf", kKilled},
                                                                      {"io_uring", kKilled},
                                                                      {"unshare", kKilled},
                                                                      {"mount", kKilled},
                                                                      {"userfaultfd", kKilled},
                                                                      {"int80", kKilled},
                                                                      {"many_threads", kRefused}}) {
    const char* argument = name == "many_threads" ? "60" : "1";
    EXPECT_EQ(outcome(run(with_gpu({name, argument}))), expected) << name << ": " << said_;
  }
}

// CUDA reserves far more than it uses.
TEST_F(GpuTest, AddressSpaceIsFreeAndResidentMemoryIsCapped) {
  EXPECT_EQ(run(with_gpu({"reserve", "4096"})).exit_code, 0) << said_;
  EXPECT_EQ(run(with_gpu({"memory", "600"})).killed_by, sandbox::KilledBy::kMemory);
  EXPECT_EQ(run_without(with_gpu({"memory_and_sleep", "400"}), {"cgroup"}).killed_by,
            sandbox::KilledBy::kMemory);
}

TEST_F(GpuTest, ADeviceFileThatOthersMayNotWriteIsNamed) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root's jails have another user";
  const fs::path closed = folder_ / "nvidiactl";
  std::ofstream(closed) << "";
  fs::permissions(closed, fs::perms(0644));
  auto guest = with_gpu({"nothing"});
  guest.gpu->devices = {{closed, "nvidiactl"}};
  const auto error = sandbox::Jail::start(guest, nullptr).error();
  EXPECT_EQ(error.code, "not_readable");
  EXPECT_THAT(error.message, HasSubstr("chmod a+rw"));
}

struct Case {
  const char* name;
  const char* argument;
  Expected expected;
};

// After the lock-down of the profile kCuda. Descriptor 0 is a file, 3 the stand-in for a GPU.
const Case kCases[] = {
    {"nothing", "", kWorks},
    {"memory", "20", kWorks},
    {"sleep", "20", kWorks},
    {"request", "c020462a", kWorks},
    {"request", "30000001", kWorks},
    {"request", "49", kWorks},
    {"map_descriptor", "3", kWorks},
    {"map_descriptor", "0", kRefused},
    {"map_file", "", kRefused},
    {"map_exec", "", kRefused},
    {"protect_exec", "", kRefused},
    {"tiocsti", "", kRefused},
    {"request", "5412", kRefused},
    {"request", "3f", kRefused},
    {"open", "/dev/nvidia0", kRefused},
    {"open", "/dev/null", kRefused},
    {"write_file", "output/x", kRefused},
    {"memfd", "", kRefused},
    {"prctl", "", kRefused},
    {"execve", "", kKilled},
    {"fork", "", kKilled},
    {"thread", "", kKilled},
    {"socket_unix", "", kKilled},
    {"socket_inet", "", kKilled},
    {"unlink", "/output/x", kKilled},
    {"kill_init", "", kKilled},
    {"setrlimit", "", kKilled},
    {"ptrace", "", kKilled},
    {"read_memory", "1", kKilled},
    {"io_uring", "", kKilled},
    {"int80", "", kKilled},
    {"x32", "", kKilled},
    {"bpf", "", kKilled},
    {"perf", "", kKilled},
    {"unshare", "", kKilled},
    {"mount", "", kKilled},
    {"setns", "", kKilled},
};

TEST_F(GpuTest, TheLockDownOfCudaLeavesTheDriverAndNothingElse) {
  const UniqueFd file = open_file(BITLOOP_TEST_GUEST, O_RDONLY).value();
  for (const Case& attempt : kCases) {
    auto guest = with_gpu({"locked-cuda", attempt.name, attempt.argument});
    guest.descriptors = {{file.get(), 0}};
    const sandbox::Verdict verdict = run(guest);
    EXPECT_EQ(outcome(verdict), attempt.expected)
        << attempt.name << " " << attempt.argument << ": " << said_;
    if (std::string_view(attempt.name) == "open") {
      EXPECT_EQ(said_, "Permission denied\n");
    }
  }
}

TEST_F(GpuTest, RefusalsAreNamedOnRequestAndStay) {
  const UniqueFd errors = open_file(folder_ / "errors", O_RDWR | O_CREAT).value();
  const auto said_by = [&](std::vector<std::string> arguments) {
    EXPECT_EQ(::ftruncate(errors.get(), 0), 0);
    auto guest = with_gpu(std::move(arguments));
    guest.environment = {"BITLOOP_NAME_REFUSALS=1"};
    guest.descriptors = {{errors.get(), 2}};
    EXPECT_EQ(outcome(run(guest)), kRefused) << said_;
    return read_file(folder_ / "errors").value();
  };
  EXPECT_THAT(said_by({"locked-cuda", "open", "/dev/nvidia0"}), HasSubstr("open /dev/nvidia0\n"));
  EXPECT_EQ(said_, "Permission denied\n");
  EXPECT_THAT(said_by({"locked-cuda", "request", "5412"}), HasSubstr("ioctl 0x5412\n"));
  EXPECT_THAT(said_by({"locked-cuda", "socket_unix"}), HasSubstr("system call 41\n"));
  EXPECT_EQ(said_, "Operation not permitted\n");
  EXPECT_THAT(said_by({"locked", "execve"}), HasSubstr("system call 59\n"));
}

TEST_F(GpuTest, TheLockDownIsLeftOutOnlyWhereTheJailsFilterIsMissing) {
  for (const char* profile : {"locked", "locked-cuda"}) {
    auto guest = with_gpu({profile, "open", "/dev/null"});
    guest.environment = {"BITLOOP_LOCK_DOWN=off"};
    EXPECT_EQ(outcome(run(guest)), profile == std::string("locked") ? kKilled : kRefused);
    EXPECT_EQ(outcome(run_without(guest, {"landlock"})),
              profile == std::string("locked") ? kKilled : kRefused);
    EXPECT_EQ(outcome(run_without(guest, {"seccomp"})), kWorks) << said_;
    guest.environment.clear();
    EXPECT_NE(outcome(run_without(guest, {"seccomp"})), kWorks);
  }
}

// What find_gpu finds, in a folder of made-up device files.
class FindGpuTest : public GpuTest {
 protected:
  void SetUp() override {
    GpuTest::SetUp();
    fs::create_directories(folder_ / "dev");
    for (const char* name : {"nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset",
                             "nvidia0", "nvidia2", "nvidia-caps", "null"})
      std::ofstream(folder_ / "dev" / name) << "";
  }
  sandbox::GpuSearch search() const {
    sandbox::GpuSearch result;
    result.program = BITLOOP_TEST_GUEST;
    result.library_path = (folder_ / "driver").string();
    result.devices = folder_ / "dev";
    return result;
  }
  static std::vector<std::string> names(const sandbox::Gpu& gpu) {
    std::vector<std::string> result;
    for (const sandbox::Device& device : gpu.devices) result.push_back(device.name);
    return result;
  }
};

TEST_F(FindGpuTest, TakesTheDevicesThatComputeAndNoOthers) {
  const auto all = sandbox::find_gpu(search());
  ASSERT_TRUE(all) << all.error().message;
  EXPECT_THAT(names(*all), ElementsAre("nvidiactl", "nvidia-uvm", "nvidia0", "nvidia2"));
  auto second = search();
  second.numbers = "2";
  EXPECT_THAT(names(sandbox::find_gpu(second).value()),
              ElementsAre("nvidiactl", "nvidia-uvm", "nvidia2"));
  for (const char* numbers : {"1", "", "-1", "0,", "GPU-1234", "0x0"}) {
    second.numbers = numbers;
    const auto none = sandbox::find_gpu(second);
    ASSERT_FALSE(none) << numbers;
    EXPECT_EQ(none.error().code, "no_gpu");
    EXPECT_THAT(none.error().message, HasSubstr("CUDA_VISIBLE_DEVICES"));
  }
}

TEST_F(FindGpuTest, NamesWhatIsMissing) {
  fs::remove(folder_ / "dev/nvidia-uvm");
  EXPECT_THAT(sandbox::find_gpu(search()).error().message, HasSubstr("nvidia_uvm"));
  fs::remove(folder_ / "dev/nvidiactl");
  EXPECT_THAT(sandbox::find_gpu(search()).error().message, HasSubstr("stay on the CPU"));
}

TEST_F(FindGpuTest, FindsTheDriverAndWhatIsOpenedByName) {
  fs::create_directories(folder_ / "bin");
  fs::create_directories(folder_ / "more");
  fs::copy_file(BITLOOP_TEST_GUEST, folder_ / "bin/program");
  fs::copy_file(BITLOOP_TEST_GUEST, folder_ / "bin/libbeside.so");
  fs::copy_file(BITLOOP_TEST_GUEST, folder_ / "more/libelsewhere.so");
  std::ofstream(folder_ / "more/libnothing.so") << "no library";
  auto wanted = search();
  wanted.program = folder_ / "bin/program";
  wanted.own = {folder_ / "none", folder_ / "bin"};
  wanted.opened = {"libbeside.so", "libelsewhere.so", "libnothing.so", "libnowhere.so"};
  wanted.library_path += ":relative:" + (folder_ / "more").string();
  const auto gpu = sandbox::find_gpu(wanted);
  ASSERT_TRUE(gpu) << gpu.error().message;
  const auto& libraries = gpu->libraries;
  EXPECT_THAT(libraries, Contains(folder_ / "driver"));
  EXPECT_THAT(libraries, Contains(folder_ / "bin/libbeside.so"));
  EXPECT_THAT(libraries, Contains(folder_ / "more"));
  EXPECT_THAT(libraries, Not(Contains(folder_ / "bin")));
  EXPECT_THAT(gpu->library_path, Contains(folder_ / "driver"));
  EXPECT_THAT(gpu->library_path, Contains(folder_ / "more"));
}

// LibTorch's own, where it was unpacked: what it needs of CUDA lies in folders that it names, or in
// those of the loader.
TEST_F(FindGpuTest, FollowsWhatALibraryNeeds) {
  const fs::path torch = fs::path(BITLOOP_DEPS_DIR) / "libtorch/lib";
  if (!fs::exists(torch / "libtorch_cuda.so")) GTEST_SKIP() << "LibTorch has no CUDA library here";
  auto wanted = search();
  wanted.opened = {"libtorch_cuda.so"};
  wanted.library_path += ":" + torch.string();
  const auto gpu = sandbox::find_gpu(wanted);
  ASSERT_TRUE(gpu) << gpu.error().message;
  EXPECT_THAT(gpu->libraries, Contains(torch));
}

TEST(DriverTextsTest, DeviceFilesAreNotToBeMended) {
  for (const auto& [path, text] : sandbox::driver_texts()) {
    if (path == "/proc/driver/nvidia/params") {
      EXPECT_THAT(text, ::testing::EndsWith("ModifyDeviceFiles: 0\n"));
    }
    if (path == "/proc/devices") {
      EXPECT_THAT(text, Not(HasSubstr("tty")));
    }
  }
}

}  // namespace
}  // namespace bitloop::testing
