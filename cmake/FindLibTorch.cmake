# LibTorch as scripts/setup unpacks it from the PyPI wheels: imported target LibTorch::cpu.
# PyTorch's own find_package(Torch) demands the CUDA toolkit of the build that made the wheel; a CPU build needs only
# libtorch_cpu and libc10, and the CUDA run-time library that libtorch_cpu was linked with.
set(LibTorch_ROOT "${BITLOOP_DEPS_DIR}/libtorch")
find_path(LibTorch_INCLUDE_DIR ATen/ATen.h HINTS "${LibTorch_ROOT}/include" NO_DEFAULT_PATH)
find_library(LibTorch_CPU_LIBRARY torch_cpu HINTS "${LibTorch_ROOT}/lib" NO_DEFAULT_PATH)
find_library(LibTorch_C10_LIBRARY c10 HINTS "${LibTorch_ROOT}/lib" NO_DEFAULT_PATH)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch
  REQUIRED_VARS LibTorch_INCLUDE_DIR LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY
  REASON_FAILURE_MESSAGE "run scripts/setup first: it unpacks LibTorch into ${LibTorch_ROOT}")

if(LibTorch_FOUND AND NOT TARGET LibTorch::cpu)
  add_library(LibTorch::c10 SHARED IMPORTED)
  set_target_properties(LibTorch::c10 PROPERTIES IMPORTED_LOCATION "${LibTorch_C10_LIBRARY}")
  add_library(LibTorch::cpu SHARED IMPORTED)
  set_target_properties(LibTorch::cpu PROPERTIES
    IMPORTED_LOCATION "${LibTorch_CPU_LIBRARY}"
    INTERFACE_LINK_LIBRARIES LibTorch::c10)
  target_include_directories(LibTorch::cpu SYSTEM INTERFACE "${LibTorch_INCLUDE_DIR}"
    "${LibTorch_INCLUDE_DIR}/torch/csrc/api/include")
  target_compile_definitions(LibTorch::cpu INTERFACE _GLIBCXX_USE_CXX11_ABI=1)
  # libcudart and libcupti lie in the same folder; the loader finds them by the libraries' own search path.
  target_link_options(LibTorch::cpu INTERFACE "LINKER:-rpath-link,${LibTorch_ROOT}/lib" "LINKER:--disable-new-dtags")
endif()
