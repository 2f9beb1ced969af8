// Where systems name disks, partitions and volumes by their IDs: one table of paths, with `*` for any part of a name.
// Invariant: plain text files only, which may be changed in place; what is compressed or signed is in another list.
// Sources: fstab(5), crypttab(5), initramfs-tools(7), dracut.conf(5), kernel-install(8), the Boot Loader Specification, the
// manuals of GRUB, SYSLINUX, U-Boot and rEFInd, and the documentation of Raspberry Pi and Armbian.

/** Below the root of a system. */
const SYSTEM = [
  '/etc/fstab',
  '/etc/crypttab',
  '/etc/default/grub',
  '/etc/default/grub.d/*.cfg',
  '/etc/default/u-boot',
  '/etc/grub.d/*',
  '/etc/kernel/cmdline',
  '/etc/kernel/cmdline.d/*.conf',
  '/etc/cmdline.d/*.conf',
  '/etc/initramfs-tools/conf.d/*',
  '/etc/initramfs-tools/initramfs.conf',
  '/etc/dracut.conf',
  '/etc/dracut.conf.d/*.conf',
  '/etc/mkinitcpio.conf',
  '/etc/mkinitcpio.d/*.preset',
  '/etc/systemd/system/*.mount',
  '/etc/systemd/system/*.swap',
  '/etc/udev/rules.d/*.rules',
  '/etc/uswsusp.conf',
  '/etc/lilo.conf',
  '/etc/zipl.conf',
];

/** Below /boot, which may be a volume of its own. */
const BOOT = [
  '/grub/grub.cfg',
  '/grub/custom.cfg',
  '/grub/*/load.cfg',
  '/grub/grubenv',
  '/grub2/grub.cfg',
  '/grub2/custom.cfg',
  '/grub2/*/load.cfg',
  '/grub2/grubenv',
  '/loader/loader.conf',
  '/loader/entries/*.conf',
  '/extlinux/*.conf',
  '/syslinux/*.cfg',
  '/refind_linux.conf',
  '/limine.conf',
  '/cmdline.txt',
  '/armbianEnv.txt',
  '/uEnv.txt',
];

/** Below the root of an EFI system partition, which may be mounted on /boot. */
const ESP = ['/EFI/*/*.cfg', '/EFI/*/*.conf', '/EFI/*/grubenv'];

export const TEXTS: readonly string[] = [
  ...SYSTEM,
  ...BOOT,
  ...BOOT.map((path) => `/boot${path}`),
  ...['/cmdline.txt', '/extlinux/*.conf'].map((path) => `/boot/firmware${path}`),
  ...ESP,
];

/** Programs that may have a configuration built in, as plain text: GRUB's own image, unified kernel images. */
export const PROGRAMS: readonly string[] = ['/EFI/*.efi', '/EFI/*/*.efi'];

/** What is not changed, and why somebody may want to know. */
export const LISTED: readonly { readonly pattern: string; readonly why: string }[] = [
  ...['/initrd*', '/initramfs*', '/boot/initrd*', '/boot/initramfs*'].map((pattern) => ({
    pattern,
    why: 'it may name swap or the root by an old ID; make it anew in the started twin (update-initramfs -u or dracut -f)',
  })),
  { pattern: '/etc/machine-id', why: 'the twin counts as the same machine; systemd-machine-id-setup makes a new one' },
  { pattern: '/etc/ssh/ssh_host_*_key', why: 'the twin has the same SSH host keys; ssh-keygen -A makes missing ones' },
];
