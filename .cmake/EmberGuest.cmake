# Guest programs: freestanding x86 code, linked flat, carried inside a host program as bytes.
#
# ember_guest(NAME ENTRY real|protected|long SOURCES file... [DEFINITIONS name[=value]...])
#
# Builds a static library NAME that defines
#
#     const uint8_t NAME_image[];       the flat image; its first byte is where the guest starts
#     const size_t NAME_image_size;     bytes
#
# and leaves the linked program as NAME.elf beside it, for objdump and gdb. The sources see GUEST_ENTRY_REAL,
# GUEST_ENTRY_PROTECTED or GUEST_ENTRY_LONG. Code that goes first is in section .text.entry. Memory after the image is
# zero when a guest starts, so .bss takes no bytes and is not cleared. Nothing but general registers is used: this
# project's guests must run where ring 0 is emulated without SSE. The compiler is told the same in every build type,
# so that a guest takes the same path in each.

set(EMBER_GUEST_SCRIPT "${CMAKE_CURRENT_LIST_DIR}/guest.ld")

function(ember_guest name)
  cmake_parse_arguments(ARG "" "ENTRY" "SOURCES;DEFINITIONS" ${ARGN})
  if(ARG_ENTRY STREQUAL "real")
    set(machine -m16)
    set(base 0x1000)
  elseif(ARG_ENTRY STREQUAL "protected")
    set(machine -m32)
    set(base 0x100000)
  elseif(ARG_ENTRY STREQUAL "long")
    set(machine -m64 -mno-red-zone)
    set(base 0x100000)
  else()
    message(FATAL_ERROR "${name}: ENTRY must be real, protected or long")
  endif()
  string(TOUPPER "${ARG_ENTRY}" entry)

  add_executable(${name}.elf ${ARG_SOURCES})
  set_target_properties(${name}.elf PROPERTIES
    POSITION_INDEPENDENT_CODE OFF
    RUNTIME_OUTPUT_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}"
    LINK_DEPENDS "${EMBER_GUEST_SCRIPT}")
  target_compile_definitions(${name}.elf PRIVATE GUEST_ENTRY_${entry}=1 ${ARG_DEFINITIONS})
  target_compile_options(${name}.elf PRIVATE ${machine} -fno-pic -fno-pie
    $<$<COMPILE_LANGUAGE:C>:-Os -g0 -ffreestanding -mgeneral-regs-only -fno-stack-protector -fcf-protection=none
      -fno-asynchronous-unwind-tables -fomit-frame-pointer
      -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla -Werror>)
  target_link_options(${name}.elf PRIVATE ${machine} -nostdlib -static -no-pie "-Wl,-T,${EMBER_GUEST_SCRIPT}"
    "-Wl,--defsym=image_base=${base}" -Wl,--build-id=none -Wl,-z,noexecstack -Wl,--no-warn-rwx-segments)

  set(image "${CMAKE_CURRENT_BINARY_DIR}/${name}.bin")
  set(carrier "${CMAKE_CURRENT_BINARY_DIR}/${name}.S")
  add_custom_command(OUTPUT "${image}"
    COMMAND "${CMAKE_OBJCOPY}" -O binary "$<TARGET_FILE:${name}.elf>" "${image}"
    DEPENDS ${name}.elf VERBATIM)
  file(CONFIGURE OUTPUT "${carrier}" @ONLY CONTENT [[
	.section .rodata
	.global @name@_image, @name@_image_size
	.balign 16
@name@_image:
	.incbin "@image@"
	.set length, . - @name@_image
	.balign 8
@name@_image_size:
	.quad length
	.section .note.GNU-stack, "", @progbits
]])
  set_source_files_properties("${carrier}" PROPERTIES OBJECT_DEPENDS "${image}")
  add_library(${name} STATIC "${carrier}")
endfunction()
