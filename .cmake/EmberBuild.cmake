# How every target of Ember is compiled, and how the dependency rule between folders is held.
#
# A folder's library can include only the headers of the folders that it names in DEPENDS (and of theirs): each
# library exports one include directory, which holds nothing but a link to its own folder. There is no include path
# to the top of the tree, so an upward "#include" does not compile.

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")

option(EMBER_SANITIZE "Build with AddressSanitizer and UndefinedBehaviorSanitizer" OFF)
option(EMBER_FUZZ "Build the libFuzzer targets (needs clang)" OFF)

include(CheckPIESupported)
check_pie_supported(LANGUAGES C)

add_library(ember_flags INTERFACE)
target_compile_definitions(ember_flags INTERFACE _GNU_SOURCE EMBER_VERSION="${PROJECT_VERSION}")
target_compile_options(ember_flags INTERFACE $<$<COMPILE_LANGUAGE:C>:
  -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla -Wformat=2 -Werror
  # snprintf() is how a sentence is cut to the room that it has: that it may be cut is no mistake
  $<$<C_COMPILER_ID:GNU>:-Wno-format-truncation>
  # this is GNU C: an ioctl's header stands before its entries
  $<$<C_COMPILER_ID:Clang>:-Wno-gnu-variable-sized-type-not-at-end>>)
if(EMBER_SANITIZE)
  target_compile_definitions(ember_flags INTERFACE EMBER_SANITIZE=1)
  target_compile_options(ember_flags INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=undefined
    -fno-omit-frame-pointer)
  target_link_options(ember_flags INTERFACE -fsanitize=address,undefined)
elseif(EMBER_FUZZ)
  target_compile_options(ember_flags INTERFACE -fsanitize=fuzzer-no-link,address,undefined
    -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  target_link_options(ember_flags INTERFACE -fsanitize=address,undefined)
else()
  target_compile_options(ember_flags INTERFACE -fstack-protector-strong -fstack-clash-protection -fcf-protection=full)
  if(CMAKE_BUILD_TYPE STREQUAL "Release")
    target_compile_options(ember_flags INTERFACE $<$<COMPILE_LANGUAGE:C>:-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3>)
  endif()
  target_link_options(ember_flags INTERFACE -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)
endif()

# ember_library(NAME [PATH folder] SOURCES file... [DEPENDS folder...] [LIBRARIES target...])
#
# A static library ember_NAME of the folder NAME, or of the folder PATH where it is not at the top of the tree. DEPENDS
# names folders; LIBRARIES names outside libraries.
function(ember_library name)
  cmake_parse_arguments(ARG "" "PATH" "SOURCES;DEPENDS;LIBRARIES" ${ARGN})
  if(NOT ARG_PATH)
    set(ARG_PATH "${name}")
  endif()
  set(include_root "${CMAKE_BINARY_DIR}/include/${name}")
  file(MAKE_DIRECTORY "${include_root}")
  file(CREATE_LINK "${CMAKE_SOURCE_DIR}/${ARG_PATH}" "${include_root}/${name}" SYMBOLIC)
  add_library(ember_${name} STATIC ${ARG_SOURCES})
  target_include_directories(ember_${name} PUBLIC "${include_root}")
  target_link_libraries(ember_${name} PRIVATE ember_flags PUBLIC ${ARG_LIBRARIES})
  foreach(folder IN LISTS ARG_DEPENDS)
    target_link_libraries(ember_${name} PUBLIC ember_${folder})
  endforeach()
endfunction()

# ember_program(NAME SOURCES file... [DEPENDS folder...] [LIBRARIES target...])
#
# A program in build/bin.
function(ember_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;LIBRARIES" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ember_flags ${ARG_LIBRARIES})
  foreach(folder IN LISTS ARG_DEPENDS)
    target_link_libraries(${name} PRIVATE ember_${folder})
  endforeach()
endfunction()

# ember_test(NAME LABEL label... SOURCES file... [DEPENDS folder...] [LIBRARIES target...] [TIMEOUT seconds])
#
# A Criterion test program and its ctest entry, with each of the labels. A test may touch one folder above another only
# through DEPENDS, too. Its tests run one after another: ctest runs several programs at once. The limit of time is for
# what hangs: it leaves room for a sanitizer on a machine that has much else to do.
function(ember_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "LABEL;SOURCES;DEPENDS;LIBRARIES" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 1800)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
  target_link_libraries(${name} PRIVATE ember_flags PkgConfig::CRITERION ${ARG_LIBRARIES})
  foreach(folder IN LISTS ARG_DEPENDS)
    target_link_libraries(${name} PRIVATE ember_${folder})
  endforeach()
  add_test(NAME ${name} COMMAND ${name} --jobs 1)
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABEL}" TIMEOUT "${ARG_TIMEOUT}")
endfunction()
