# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# Debian's cloud kernels: their packages are downloaded once and unpacked, not installed. A kernel is named by its
# version, 6.1 or 6.12; which build of it is Debian's latest changes, and with it the name of the package.

# Where packages are unpacked; the caller sets it.
cache=

# find_package VERSION: the package that a metapackage of Debian's depends on; nothing where none is known.
find_package()
{
	local version=$1 metapackage package

	for metapackage in "linux-image-$version-cloud-amd64" linux-image-cloud-amd64; do
		package=$(apt-cache depends "$metapackage" 2>/dev/null | sed -n 's/^ *Depends: //p' | head -n 1) || true
		if [[ $package == "linux-image-$version."*-cloud-amd64 ]]; then
			echo "$package"
			return
		fi
	done
}

# download_package PACKAGE: into the current folder, as whoever we are: the user that apt would rather be may have no
# access to it.
download_package()
{
	apt-get --quiet --quiet --option APT::Sandbox::User=root download "$1"
}

update_lists()
{
	sudo_if_needed apt-get --quiet --quiet update
}

sudo_if_needed()
{
	if ((EUID == 0)); then
		"$@"
	else
		sudo --non-interactive "$@"
	fi
}

# fetch_kernel VERSION: prints the release of a kernel that is then in kernel_folder RELEASE. One run at a time does this.
fetch_kernel()
{
	local package folder lock

	exec {lock}>"$cache/.lock"
	flock "$lock"
	package=$(find_package "$1")
	if [[ -z $package ]]; then
		# No lists of packages yet.
		update_lists >&2
		package=$(find_package "$1")
	fi
	[[ -n $package ]] || fail "Debian's lists of packages have no cloud kernel $1"
	folder=$cache/$package
	if [[ ! -e $folder/.complete ]]; then
		echo "Downloading $package" >&2
		rm -rf "$folder" "$cache/download"
		mkdir -p "$folder" "$cache/download"
		(cd "$cache/download" && { download_package "$package" ||
			{ update_lists && download_package "$package"; }; }) >&2 ||
			fail "$package could not be downloaded"
		dpkg -x "$cache"/download/*.deb "$folder"
		rm -rf "$cache/download"
		touch "$folder/.complete"
	fi
	exec {lock}>&-
	echo "${package#linux-image-}"
}

kernel_image()
{
	echo "$cache/linux-image-$1/boot/vmlinuz-$1"
}

# add_modules RELEASE FOLDER MODULE...: to FOLDER/modules, as NAME.ko, not compressed; as NAME.builtin, which is empty,
# where the kernel has it built in.
add_modules()
{
	local modules=$cache/linux-image-$1/lib/modules/$1 release=$1 folder=$2/modules module target

	shift 2
	mkdir -p "$folder"
	for module in "$@"; do
		target=$folder/${module##*/}
		if [[ -e $modules/kernel/$module.ko ]]; then
			install --mode=0644 "$modules/kernel/$module.ko" "$target.ko"
		elif [[ -e $modules/kernel/$module.ko.xz ]]; then
			xz --decompress --stdout "$modules/kernel/$module.ko.xz" >"$target.ko"
		elif grep --quiet --line-regexp --fixed-strings "kernel/$module.ko" "$modules/modules.builtin"; then
			touch "$target.builtin"
		else
			fail "the kernel $release has no module $module"
		fi
	done
}
