// The scan in three planes and 3D, by NiiVue: one image below, label map and uncertainty over it.

import { DRAG_MODE, MULTIPLANAR_TYPE, Niivue, NVImage, SHOW_RENDER, SLICE_TYPE } from "./niivue.js";

const VIEWS = {
  all: SLICE_TYPE.MULTIPLANAR, axial: SLICE_TYPE.AXIAL, coronal: SLICE_TYPE.CORONAL,
  sagittal: SLICE_TYPE.SAGITTAL, "3d": SLICE_TYPE.RENDER,
};
/** Slices are counted along this axis of RAS space: from below, from behind, from the left. */
export const PLANES = {
  axial: { axis: 2, type: SLICE_TYPE.AXIAL },
  coronal: { axis: 1, type: SLICE_TYPE.CORONAL },
  sagittal: { axis: 0, type: SLICE_TYPE.SAGITTAL },
};
/** What a key does to the planes, and to the 3D view in degrees; left is the patient's right, as on the screen. */
const KEYS = {
  ArrowUp: { plane: "axial", step: 1, turn: [0, 5] },
  ArrowDown: { plane: "axial", step: -1, turn: [0, -5] },
  ArrowLeft: { plane: "sagittal", step: 1, turn: [-5, 0] },
  ArrowRight: { plane: "sagittal", step: -1, turn: [5, 0] },
  PageUp: { plane: "coronal", step: 1, turn: [0, 30] },
  PageDown: { plane: "coronal", step: -1, turn: [0, -30] },
};
const NIFTI_LABELS = 1002;
const UINT8 = 2;

/** Read an image of brightness. */
export function readImage(file) {
  // A few bright voxels of vessel or fat must not darken the rest.
  return NVImage.loadFromFile({ file, ignoreZeroVoxels: true, percentileFrac: 0.005, trustCalMinMax: false });
}

/** Read a label map; whole numbers, whatever type the file has. */
export async function readLabels(file) {
  const image = await NVImage.loadFromFile({ file });
  const { scl_slope: slope, scl_inter: inter } = image.hdr;
  image.img = Uint8Array.from(image.img, (value) => Math.round(value * (slope || 1) + inter));
  Object.assign(image.hdr, { datatypeCode: UINT8, numBitsPerVoxel: 8, scl_slope: 1, scl_inter: 0, intent_code: NIFTI_LABELS });
  return image;
}

/** Read a map of entropy, bits. */
export function readEntropy(file) {
  return NVImage.loadFromFile({ file, colormap: "plasma", cal_min: 0.1, cal_max: 1, trustCalMinMax: false });
}

/** Where the labels that are not 0 have their middle, mm; null where there are none. */
export function middle(labels) {
  const [, nx, ny] = labels.hdr.dims;
  const sum = [0, 0, 0];
  let count = 0;
  labels.img.forEach((value, at) => {
    if (!value) return;
    count += 1;
    sum[0] += at % nx;
    sum[1] += Math.floor(at / nx) % ny;
    sum[2] += Math.floor(at / (nx * ny));
  });
  if (!count) return null;
  return labels.hdr.affine.slice(0, 3).map((row) => row[3] + sum.reduce((mm, voxel, axis) => mm + (row[axis] * voxel) / count, 0));
}

export class Viewer {
  #nv;
  #image = null;
  #layers = [];
  #view = "all";
  #pending = null;

  /** `moved(slices)` hears which slices are shown, `windowed({low, high, min, max})` the window. */
  constructor({ moved, windowed }) {
    this.#nv = new Niivue({
      backColor: [0, 0, 0, 1], crosshairColor: [0.3, 0.9, 0.4, 0.7], fontColor: [0.95, 0.95, 0.75, 1],
      isRadiologicalConvention: true, sagittalNoseLeft: true, showAllOrientationMarkers: true,
      multiplanarLayout: MULTIPLANAR_TYPE.GRID, multiplanarShowRender: SHOW_RENDER.ALWAYS, multiplanarPadPixels: 10, crosshairGap: 12, crosshairWidth: 1.5, isOrientCube: true,
      dragAndDropEnabled: false, logLevel: "error", loadingText: "",
    });
    this.#nv.setMouseEventConfig({ leftButton: { primary: DRAG_MODE.crosshair }, rightButton: DRAG_MODE.windowing, centerButton: DRAG_MODE.pan });
    this.#nv.onLocationChange = () => moved(this.slices);
    this.#nv.onIntensityChange = () => windowed(this.window);
  }

  async attach(canvas) {
    // Handled before NiiVue, whose own hot keys would surprise the user.
    canvas.addEventListener("keyup", (event) => event.stopImmediatePropagation());
    canvas.addEventListener("keydown", (event) => {
      event.stopImmediatePropagation();
      this.#step(event);
    });
    await this.#nv.attachToCanvas(canvas);
  }

  #step(event) {
    if (!(event.key in KEYS) || !this.#nv.volumes.length) return;
    event.preventDefault();
    const { plane, step, turn } = KEYS[event.key];
    if (this.#view !== "3d") this.setSlice(plane, this.slices[plane].slice + step);
    else this.#nv.setRenderAzimuthElevation(this.#nv.scene.renderAzimuth + turn[0], this.#nv.scene.renderElevation + turn[1]);
  }

  /** Show another image; the place stays. */
  setImage(image) {
    this.#image = image;
    this.#refresh();
  }

  /** Lay a label map, with its table of colours, and a map of entropy over the image; either may be missing. */
  setLayers({ labels, table, entropy, opacity }) {
    labels?.setColormapLabel(table);
    this.#layers = [labels, entropy].filter(Boolean);
    for (const layer of this.#layers) layer.opacity = opacity;
    this.#refresh();
  }

  setView(name) {
    this.#view = name;
    this.#nv.setSliceType(VIEWS[name]);
  }

  /** By plane: its slice, counted from 1, and how many there are. */
  get slices() {
    if (!this.#nv.volumes.length) return {};
    const [voxel, { dimsRAS }] = [this.#nv.frac2vox(this.#nv.scene.crosshairPos), this.#nv.volumes[0]];
    return Object.fromEntries(Object.entries(PLANES).map(([plane, { axis }]) => [
      plane, { slice: Math.round(voxel[axis]) + 1, count: dimsRAS[axis + 1] },
    ]));
  }

  /** By plane that is drawn: its slice, where on the canvas it is, CSS pixels, and how many of them a millimetre has. */
  get tiles() {
    const { dpr } = this.#nv.uiData;
    return Object.entries(this.slices).flatMap(([plane, slice]) => {
      const { type } = PLANES[plane];
      const tile = this.#nv.screenSlices.find(({ axCorSag }) => axCorSag === type);
      if (!tile) return [];
      const [left, top, width, height] = tile.leftTopWidthHeight.map((pixels) => pixels / dpr);
      return [{ plane, ...slice, left, top, height, perMm: width / Math.abs(tile.fovMM[0]) }];
    });
  }

  /** Enlarge the planes; what is under the cross hair stays where it is. */
  setZoom(zoom) {
    const [x, y, z, before] = this.#nv.scene.pan2Dxyzmm;
    const mm = this.#nv.frac2mm(this.#nv.scene.crosshairPos);
    const pan = zoom === 1 ? [0, 0, 0] : [x, y, z].map((shift, axis) => shift + (before - zoom) * mm[axis]);
    this.#nv.setPan2Dxyzmm([...pan, zoom]);
  }

  setSlice(plane, slice) {
    const { axis } = PLANES[plane];
    const { count } = this.slices[plane];
    this.#nv.scene.crosshairPos[axis] = (Math.min(Math.max(slice, 1), count) - 0.5) / count;
    this.#nv.createOnLocationChange();
    this.#nv.drawScene();
  }

  /** Go to a place, mm. */
  goTo(mm) {
    this.#nv.scene.crosshairPos = this.#nv.mm2frac(mm, 0, true);
    this.#nv.createOnLocationChange();
    this.#nv.drawScene();
  }

  get window() {
    const { cal_min: low, cal_max: high, global_min: min, global_max: max } = this.#image;
    return { low, high, min: Math.min(min, 0), max };
  }

  setWindow({ low, high }) {
    Object.assign(this.#image, { cal_min: low, cal_max: high });
    this.#refresh();
  }

  resetWindow() {
    this.setWindow({ low: this.#image.robust_min, high: this.#image.robust_max });
  }

  // Many changes at once, as when a slider moves, are drawn once.
  #refresh() {
    this.#pending ??= requestAnimationFrame(() => {
      this.#pending = null;
      if (!this.#image) return;
      const nv = this.#nv;
      nv.volumes = [this.#image, ...this.#layers];
      [nv.back, ...nv.overlays] = nv.volumes;
      nv.updateGLVolume();
      nv.createOnLocationChange();
    });
  }
}
