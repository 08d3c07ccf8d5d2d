/**
 * Writes the objects of the image in view as wsi-nucssl reads them for training: NAME.geojson beside NAME.png or NAME.svs.
 *
 * Run it when the image is finished: every nucleus of it, or every nucleus inside its rectangles of the class Region.
 * One image: Automate > Script editor, open this file, Run. All images of a project: Run > Run for project.
 * Results of `segment` are never written over. Written for QuPath 0.4 and later.
 */
import java.nio.file.Files
import java.nio.file.Paths
import java.nio.file.StandardCopyOption

// The folder to write to, such as "C:/mine/labels"; null is the folder of the image.
def FOLDER = null

def uri = getCurrentServer().getURIs().find { it.scheme == "file" }
if (uri == null)
    throw new IllegalStateException("The image is no file on this computer")
def image = Paths.get(new URI(uri.scheme, uri.host, uri.path, null)).toFile()
def folder = FOLDER == null ? image.parentFile : new File(FOLDER)
def target = new File(folder, image.name.replaceFirst(/\.[^.]+$/, "") + ".geojson")

def objects = getAllObjects(false).findAll { !it.isTile() && !it.isTMACore() }
def nuclei = objects.findAll { !(it.getPathClass()?.toString() ==~ /(?i)region\*?/) }
def detected = nuclei.count { it.isDetection() }
if (detected > 0 && detected < nuclei.size())
    println "${image.name}: has ${detected} detections, so that its ${nuclei.size() - detected} other annotations " +
            "will not count as nuclei"

if (target.isFile()) {
    def head = target.withReader("UTF-8") { reader ->
        def text = new char[4096]
        def count = reader.read(text)
        count > 0 ? new String(text, 0, count) : ""
    }
    if (head =~ /"wsi_nucssl"\s*:/ && !(head =~ /"wsi_nucssl"\s*:\s*\{"kind"\s*:\s*"proposal"/))
        throw new IllegalStateException("${target} is a result of segment: set FOLDER at the top of this script")
}
def partial = new File(folder, ".${target.name}.part")
exportObjectsToGeoJson(objects, partial.path, "FEATURE_COLLECTION")
Files.move(partial.toPath(), target.toPath(), StandardCopyOption.REPLACE_EXISTING)
println "${image.name}: ${nuclei.size()} nuclei, ${objects.size() - nuclei.size()} regions to ${target}"
