# Apache Arrow's C++ libraries as scripts/setup unpacks them from the PyPI wheel: imported targets Arrow::arrow and
# Arrow::parquet. The wheel has neither CMake's files nor names of libraries without a version.
set(Arrow_ROOT "${BITLOOP_DEPS_DIR}/arrow")
find_path(Arrow_INCLUDE_DIR parquet/arrow/reader.h HINTS "${Arrow_ROOT}/include" NO_DEFAULT_PATH)
find_library(Arrow_LIBRARY NAMES libarrow.so.2600 HINTS "${Arrow_ROOT}/lib" NO_DEFAULT_PATH)
find_library(Arrow_PARQUET_LIBRARY NAMES libparquet.so.2600 HINTS "${Arrow_ROOT}/lib" NO_DEFAULT_PATH)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Arrow
  REQUIRED_VARS Arrow_INCLUDE_DIR Arrow_LIBRARY Arrow_PARQUET_LIBRARY
  REASON_FAILURE_MESSAGE "run scripts/setup first: it unpacks Arrow into ${Arrow_ROOT}")

if(Arrow_FOUND AND NOT TARGET Arrow::parquet)
  add_library(Arrow::arrow SHARED IMPORTED)
  set_target_properties(Arrow::arrow PROPERTIES IMPORTED_LOCATION "${Arrow_LIBRARY}")
  target_include_directories(Arrow::arrow SYSTEM INTERFACE "${Arrow_INCLUDE_DIR}")
  target_compile_definitions(Arrow::arrow INTERFACE _GLIBCXX_USE_CXX11_ABI=1)
  add_library(Arrow::parquet SHARED IMPORTED)
  set_target_properties(Arrow::parquet PROPERTIES
    IMPORTED_LOCATION "${Arrow_PARQUET_LIBRARY}"
    INTERFACE_LINK_LIBRARIES Arrow::arrow)
endif()
