#include "sandbox/elf.h"

#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cstring>
#include <optional>
#include <string_view>

#include "harness/base/fd.h"
#include "harness/base/text.h"

namespace bitloop::sandbox {
namespace {

// A file in memory, of which any part is read with a bounds check.
class Image {
 public:
  static Result<Image> map(const std::filesystem::path& path) {
    BITLOOP_ASSIGN(fd, open_file(path, O_RDONLY));
    struct stat info {};
    if (::fstat(fd.get(), &info) != 0) return std::unexpected(errno_error(path.string(), errno));
    const auto size = static_cast<size_t>(info.st_size);
    void* data = size ? ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0) : MAP_FAILED;
    if (data == MAP_FAILED)
      return fail("not_executable", fmt::format("{}: an empty file", path.string()));
    return Image(static_cast<const char*>(data), size);
  }
  ~Image() {
    if (data_) ::munmap(const_cast<char*>(data_), size_);
  }
  Image(Image&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(other.size_) {}
  Image(const Image&) = delete;
  Image& operator=(const Image&) = delete;
  Image& operator=(Image&&) = delete;

  template <typename T>
  std::optional<T> at(uint64_t offset) const {
    if (offset > size_ || sizeof(T) > size_ - offset) return std::nullopt;
    T value;
    std::memcpy(&value, data_ + offset, sizeof value);
    return value;
  }
  std::string text_at(uint64_t offset) const {
    if (offset >= size_) return "";
    return std::string(data_ + offset, ::strnlen(data_ + offset, size_ - offset));
  }

 private:
  Image(const char* data, size_t size) : data_(data), size_(size) {}
  const char* data_;
  size_t size_;
};

}  // namespace

Result<ElfNeeds> read_elf_needs(const std::filesystem::path& program) {
  BITLOOP_ASSIGN(image, Image::map(program));
  const auto header = image.at<Elf64_Ehdr>(0);
  if (!header || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
      header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB)
    return fail("not_executable", fmt::format("{}: not a 64-bit program", program.string()));

  ElfNeeds needs;
  std::vector<Elf64_Phdr> segments;
  for (unsigned i = 0; i < header->e_phnum; ++i)
    if (const auto segment = image.at<Elf64_Phdr>(header->e_phoff + i * sizeof(Elf64_Phdr)))
      segments.push_back(*segment);
  const auto file_offset = [&](uint64_t address) -> uint64_t {
    for (const Elf64_Phdr& s : segments)
      if (s.p_type == PT_LOAD && address >= s.p_vaddr && address - s.p_vaddr < s.p_filesz)
        return address - s.p_vaddr + s.p_offset;
    return UINT64_MAX;
  };

  uint64_t strings = UINT64_MAX;
  std::vector<uint64_t> path_offsets, library_offsets;
  for (const Elf64_Phdr& segment : segments) {
    if (segment.p_type == PT_INTERP) needs.loader = image.text_at(segment.p_offset);
    if (segment.p_type != PT_DYNAMIC) continue;
    for (uint64_t at = 0; at + sizeof(Elf64_Dyn) <= segment.p_filesz; at += sizeof(Elf64_Dyn)) {
      const auto entry = image.at<Elf64_Dyn>(segment.p_offset + at);
      if (!entry || entry->d_tag == DT_NULL) break;
      if (entry->d_tag == DT_STRTAB) strings = file_offset(entry->d_un.d_ptr);
      if (entry->d_tag == DT_RPATH || entry->d_tag == DT_RUNPATH)
        path_offsets.push_back(entry->d_un.d_val);
      if (entry->d_tag == DT_NEEDED) library_offsets.push_back(entry->d_un.d_val);
    }
  }
  if (strings == UINT64_MAX) return needs;
  for (const uint64_t offset : library_offsets)
    needs.libraries.push_back(image.text_at(strings + offset));
  for (const uint64_t offset : path_offsets) {
    for (std::string folder : split(image.text_at(strings + offset), ':')) {
      for (const std::string_view origin : {"${ORIGIN}", "$ORIGIN"})
        if (const size_t at = folder.find(origin); at != std::string::npos)
          folder.replace(at, origin.size(), program.parent_path().string());
      std::error_code ignored;
      if (folder.starts_with('/') && std::filesystem::is_directory(folder, ignored))
        needs.folders.push_back(std::filesystem::path(folder).lexically_normal());
    }
  }
  return needs;
}

}  // namespace bitloop::sandbox
