#include "sandbox/gpu.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

#include "harness/base/fd.h"
#include "harness/base/text.h"
#include "sandbox/elf.h"

namespace bitloop::sandbox {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDriverLibrary = "libcuda.so.1";
// Where it may lie although neither LD_LIBRARY_PATH nor the loader's cache says so.
constexpr const char* kDriverFolders[] = {"/usr/local/nvidia/lib64", "/usr/local/nvidia/lib",
                                          "/usr/lib/x86_64-linux-gnu", "/usr/lib64",
                                          "/run/opengl-driver/lib"};
constexpr const char* kLoaderCache = "/etc/ld.so.cache";
constexpr size_t kMostLibraries = 1000;

std::unexpected<Error> no_gpu(std::string message) { return fail("no_gpu", std::move(message)); }

// In every jail, whatever its policy.
bool is_of_the_system(const fs::path& folder) {
  const std::string text = folder.string() + "/";
  for (const char* system : {"/usr/lib/", "/usr/lib64/", "/lib/", "/lib64/"})
    if (text.starts_with(system)) return true;
  return false;
}

// "nvidia7" → 7.
std::optional<unsigned> number_of(const std::string& name) {
  constexpr std::string_view kPrefix = "nvidia";
  unsigned number = 0;
  if (!name.starts_with(kPrefix)) return std::nullopt;
  const char* end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + kPrefix.size(), end, number);
  if (error != std::errc() || stop != end) return std::nullopt;
  return number;
}

Result<std::vector<Device>> find_devices(const GpuSearch& search) {
  std::error_code error;
  std::vector<Device> devices;
  for (const auto& [name, advice] :
       {std::pair("nvidiactl", "load NVIDIA's driver"),
        std::pair("nvidia-uvm", "load its module nvidia_uvm (nvidia-modprobe -u -c 0)")}) {
    const fs::path path = search.devices / name;
    if (!fs::exists(path, error))
      return no_gpu(fmt::format("{} is not there: {}, or stay on the CPU", path.string(), advice));
    devices.push_back({path, name});
  }
  std::set<unsigned> there;
  for (fs::directory_iterator entry(search.devices, error), end; !error && entry != end;
       entry.increment(error))
    if (const auto number = number_of(entry->path().filename().string())) there.insert(*number);
  std::set<unsigned> wanted;
  for (const std::string& text :
       search.numbers ? split(*search.numbers, ',') : std::vector<std::string>()) {
    const auto number = number_of("nvidia" + text);
    if (!number || !there.contains(*number))
      return no_gpu(
          fmt::format("CUDA_VISIBLE_DEVICES names '{}', and {} has no such file nvidiaN; "
                      "give numbers, like 0 or 0,1",
                      text, search.devices.string()));
    wanted.insert(*number);
  }
  if (!search.numbers) wanted = there;
  if (wanted.empty())
    return no_gpu(fmt::format("{} has no file nvidiaN: this machine has no GPU that may be used",
                              search.devices.string()));
  for (const unsigned number : wanted) {
    const std::string name = fmt::format("nvidia{}", number);
    devices.push_back({search.devices / name, name});
  }
  return devices;
}

// Finds libraries as the dynamic loader does, and remembers which folders the jail has to show.
class Libraries {
 public:
  explicit Libraries(const GpuSearch& search) {
    for (const std::string& folder : split(search.library_path, ':'))
      if (folder.starts_with('/')) path_.emplace_back(folder);
    // The cache is a table of names and paths; its strings end with a zero each.
    const std::string cache = read_file(kLoaderCache).value_or("");
    for (size_t at = 0; at < cache.size();) {
      const size_t end = std::min(cache.find('\0', at), cache.size());
      const std::string_view text(cache.data() + at, end - at);
      if (text.starts_with('/'))
        cache_.emplace(text.substr(text.rfind('/') + 1), fs::path(text).parent_path());
      at = end + 1;
    }
  }

  // The folder of a 64-bit library. `named`: those that the one who wants it names.
  std::optional<fs::path> find(const std::string& name, const std::vector<fs::path>& named) const {
    std::vector<fs::path> folders = named;
    folders.insert(folders.end(), path_.begin(), path_.end());
    for (auto [entry, end] = cache_.equal_range(name); entry != end; ++entry)
      folders.push_back(entry->second);
    for (const fs::path& folder : folders)
      if (read_elf_needs(folder / name)) return folder;
    return std::nullopt;
  }

  // The library with all that it needs. `inherited`: folders of the program, which come after its
  // own.
  void show(const fs::path& library, const std::vector<fs::path>& inherited) {
    if (shown_.size() >= kMostLibraries || !shown_.insert(library.string()).second) return;
    const auto needs = read_elf_needs(library);
    if (!needs || is_of_the_system(library.parent_path())) return;
    // What it opens by name later lies in its own folders, too.
    for (const fs::path& folder : needs->folders) show_folder(folder);
    std::vector<fs::path> named = needs->folders;
    named.insert(named.end(), inherited.begin(), inherited.end());
    for (const std::string& name : needs->libraries) {
      const auto folder = find(name, named);
      if (!folder) continue;  // of the system, or the loader will name it
      if (std::ranges::find(named, *folder) == named.end()) search_folder(*folder);
      show_folder(*folder);
      show(*folder / name, inherited);
    }
  }

  void show_folder(const fs::path& folder) {
    if (!is_of_the_system(folder) &&
        std::ranges::find(gpu_.libraries, folder) == gpu_.libraries.end())
      gpu_.libraries.push_back(folder);
  }
  void show_file(const fs::path& file) { gpu_.libraries.push_back(file); }
  // `always`: even one of the system, where the loader would not look.
  void search_folder(const fs::path& folder, bool always = false) {
    if ((always || !is_of_the_system(folder)) &&
        std::ranges::find(gpu_.library_path, folder) == gpu_.library_path.end())
      gpu_.library_path.push_back(folder);
  }

  Gpu take() { return std::move(gpu_); }

 private:
  Gpu gpu_;
  std::vector<fs::path> path_;
  std::multimap<std::string, fs::path> cache_;
  std::set<std::string> shown_;
};

// The driver's compilers (libnvidia-ptxjitcompiler, -nvvm, -gpucomp) lie beside it.
Status show_driver(Libraries& libraries) {
  const std::vector<fs::path> folders(std::begin(kDriverFolders), std::end(kDriverFolders));
  auto folder = libraries.find(kDriverLibrary, {});
  if (!folder) folder = libraries.find(kDriverLibrary, folders);
  if (!folder)
    return no_gpu(
        fmt::format("{} is not found: install the driver's libraries, or name their "
                    "folder in LD_LIBRARY_PATH",
                    kDriverLibrary));
  libraries.show_folder(*folder);
  libraries.search_folder(*folder);
  // Debian's is a link by way of /etc, which no jail has.
  std::error_code error;
  const fs::path itself = fs::canonical(*folder / kDriverLibrary, error).parent_path();
  if (!error && itself != *folder) {
    libraries.show_folder(itself);
    libraries.search_folder(itself, /*always=*/true);
  }
  return {};
}

// The lines of a list of devices or modules that are NVIDIA's.
std::string lines_of_nvidia(const std::string& text) {
  std::string kept;
  for (const std::string& line : split_lines(text))
    if (line.find("nvidia") != std::string::npos) kept += line + "\n";
  return kept;
}

}  // namespace

bool gpu_present() {
  std::error_code error;
  return fs::exists("/dev/nvidiactl", error);
}

Result<Gpu> find_gpu(const GpuSearch& search) {
  BITLOOP_ASSIGN(devices, find_devices(search));
  Libraries libraries(search);
  BITLOOP_TRY(show_driver(libraries));
  BITLOOP_ASSIGN(needs, read_elf_needs(search.program));
  for (const std::string& name : search.opened) {
    // The file alone, since such a folder may hold anything else.
    const auto own = std::ranges::find_if(
        search.own, [&](const fs::path& folder) { return bool(read_elf_needs(folder / name)); });
    if (own != search.own.end()) {
      libraries.show_file(*own / name);
      libraries.show(*own / name, needs.folders);
    } else if (const auto folder = libraries.find(name, needs.folders)) {
      if (std::ranges::find(needs.folders, *folder) == needs.folders.end())
        libraries.search_folder(*folder);
      libraries.show_folder(*folder);
      libraries.show(*folder / name, needs.folders);
    }
  }
  Gpu gpu = libraries.take();
  gpu.devices = std::move(devices);
  return gpu;
}

std::vector<std::pair<std::string, std::string>> driver_texts() {
  std::vector<std::pair<std::string, std::string>> texts;
  std::string parameters;
  for (const std::string& line : split_lines(read_file("/proc/driver/nvidia/params").value_or("")))
    if (!line.starts_with("ModifyDeviceFiles:")) parameters += line + "\n";
  texts.emplace_back("/proc/driver/nvidia/params", parameters + "ModifyDeviceFiles: 0\n");
  texts.emplace_back("/proc/devices", "Character devices:\n" +
                                          lines_of_nvidia(read_file("/proc/devices").value_or("")) +
                                          "\nBlock devices:\n");
  // Whoever does not find its modules here would try to load them.
  texts.emplace_back("/proc/modules",
                     "nvidia_uvm 0 0 - Live 0x0000000000000000\n"
                     "nvidia 0 1 nvidia_uvm, Live 0x0000000000000000\n");
  for (const char* path : {"/proc/meminfo", "/proc/sys/vm/mmap_min_addr",
                           "/sys/devices/system/memory/block_size_bytes"})
    if (auto content = read_file(path)) texts.emplace_back(path, std::move(*content));
  return texts;
}

}  // namespace bitloop::sandbox
