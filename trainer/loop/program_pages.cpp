#include "trainer/loop/program_pages.h"

#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

namespace bitloop::trainer {

namespace {

// Whether the loader wrote into its code, which the file has not (DT_TEXTREL).
bool is_relocated(const dl_phdr_info& object) {
  for (int i = 0; i < object.dlpi_phnum; ++i) {
    const auto& part = object.dlpi_phdr[i];
    if (part.p_type != PT_DYNAMIC) continue;
    for (const auto* entry = reinterpret_cast<const ElfW(Dyn)*>(object.dlpi_addr + part.p_vaddr);
         entry->d_tag != DT_NULL; ++entry)
      if (entry->d_tag == DT_TEXTREL ||
          (entry->d_tag == DT_FLAGS && (entry->d_un.d_val & DF_TEXTREL) != 0))
        return true;
  }
  return false;
}

}  // namespace

void give_back_program_pages() {
  static const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto each = [](dl_phdr_info* object, size_t, void*) {
    for (int i = 0; i < object->dlpi_phnum; ++i) {
      const auto& part = object->dlpi_phdr[i];
      // What may be written holds relocated addresses, in read-only pages too, once it is
      // protected.
      if (part.p_type != PT_LOAD || (part.p_flags & PF_W) != 0 || is_relocated(*object)) continue;
      const uintptr_t begin = (object->dlpi_addr + part.p_vaddr) / page * page,
                      end = object->dlpi_addr + part.p_vaddr + part.p_filesz;
      // A refusal (the kernel's own page has no file) costs nothing.
      ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
    }
    return 0;
  };
  ::dl_iterate_phdr(each, nullptr);
}

}  // namespace bitloop::trainer
